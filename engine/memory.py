"""How this process gives memory back to the system."""

from __future__ import annotations

import contextlib
import ctypes

# malloc.h of the GNU C library.
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20


def return_large_blocks() -> None:
    """Pictures that are freed go back to the system at once, and no longer lie about in the heap's gaps.

    For processes of our own: a host program may have other wishes. Elsewhere than on the GNU C library it
    does nothing.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
