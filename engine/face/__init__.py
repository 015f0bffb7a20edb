"""Finding faces, and laying them straight."""
