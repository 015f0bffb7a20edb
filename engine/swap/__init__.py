"""From a face to the other one, and into the picture."""
