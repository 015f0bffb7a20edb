"""What the processor can do, as the kernel tells it."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def instructions() -> frozenset[str]:
    """Names of the instruction sets, such as ``avx512f``; empty where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), ()))
