"""What a compositor needs beside the film: matte, face layer, ST-map, and a holdout matte taken in."""

from .outputs import CompositorOutputs

__all__ = ["CompositorOutputs"]
