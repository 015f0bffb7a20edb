"""A conversion as a plan of segments, which many processes can do, stop and go on with."""
