"""Builds a libcuda without a GPU, see stub_libcuda.c, and what else a test wants beside it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("stub_libcuda.c")

# By which a driver or a farm chooses GPUs, the strongest first.
CHOOSING = ("CUDA_VISIBLE_DEVICES", "CUE_GPU_CORES", "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


def make_stub_driver(folder: Path, user: Path | None = None) -> Path:
    """Compiles the stub.

    Args:
        folder: where to.
        user: a library that links to the driver: what it needs beyond the stub returns an error.

    Returns:
        The folder, for LD_LIBRARY_PATH.
    """
    sources = [_SOURCE]
    if user is not None:
        symbols = subprocess.run(
            ["nm", "-D", "--undefined-only", user], check=True, capture_output=True, text=True
        ).stdout
        wanted = set(re.findall(r" U (cu[A-Z]\w+)", symbols))
        have = set(re.findall(r"^int (cu\w+)\(", _SOURCE.read_text(), re.MULTILINE))
        rest = folder / "rest.c"
        rest.write_text("".join(f"int {name}(void) {{ return 801; }}\n" for name in sorted(wanted - have)))
        sources.append(rest)
    make_library(folder / "libcuda.so.1", *sources)
    return folder


def make_library(library: Path, *sources: Path) -> None:
    """Compiles C sources into a shared library."""
    command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, *sources]
    subprocess.run(command, check=True)
