"""What the processor can do, as the kernel tells it."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def instructions() -> frozenset[str]:
    """Names of the instruction sets, such as ``avx512f``; empty where nobody says."""
    return frozenset(_field("flags").split())


@functools.cache
def vendor() -> str:
    """Such as ``GenuineIntel``; empty where nobody says."""
    return _field("vendor_id")


def _field(name: str) -> str:
    """Of the first core."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return ""
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for key, _, value in fields if key.strip() == name), "")
