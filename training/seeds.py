"""Random numbers that follow from a place in the run, not from what was drawn before.

So a checkpoint needs no generator state, and a resumed run draws what the
uninterrupted one would have drawn.
"""

from __future__ import annotations

import numpy as np
import torch


def generator(*place: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one place, such as (seed, stream, step); places do not correlate."""
    seed = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(seed)
