"""Training: facesets in, swapper models out. Needs the ``train`` extra (PyTorch)."""
