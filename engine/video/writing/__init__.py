"""The parts of `writer`: encoders, containers, and everything that is not the picture."""
