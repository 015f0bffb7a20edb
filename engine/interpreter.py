"""The Python that starts processes of ours."""

from __future__ import annotations

import os
import sys


def interpreter() -> str | None:
    """This Python, also from a program that embeds it; None where it is frozen into one."""
    if getattr(sys, "frozen", False):
        return None
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, os.path.join(sys.base_exec_prefix, "bin", version)):
        if candidate and os.path.basename(candidate).startswith("python") and os.access(candidate, os.X_OK):
            return candidate
    return None
