"""How this process gives memory back to the system."""

from __future__ import annotations

import contextlib
import ctypes

# malloc.h of the GNU C library.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1 << 20
_NEVER_BYTES = (1 << 31) - 1


def return_large_blocks() -> None:
    """Pictures that are freed go back to the system at once, and no longer lie about in the heap's gaps.

    For processes of our own: a host program may have other wishes. Elsewhere than on the GNU C library it
    does nothing.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def keep_large_blocks() -> None:
    """What is freed stays with the process: for training, which asks for the same sizes in every step.

    Otherwise each gradient is fresh memory in every step, which the system clears page by page: with
    ``original-64`` on two cores a seventh of the whole step. For processes of our own, as above.
    """
    with contextlib.suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _NEVER_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, _NEVER_BYTES)
