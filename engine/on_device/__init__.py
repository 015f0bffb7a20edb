"""Work on a CUDA device: frames that lie there, and our kernels over many faces of many frames."""
