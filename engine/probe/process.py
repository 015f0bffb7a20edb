"""Runs a trial in a process of its own, and does not wait for ever."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .. import _native
from ..interpreter import interpreter

# A first start of the driver, with many GPUs and no persistence daemon, takes ten seconds and more.
PATIENCE_S = 60.0
# Our kernels for GPUs, where nvcc was there when the extension was built.
FATBIN = Path(_native.__file__).with_name("kernels.fatbin")
_TRIAL = Path(__file__).with_name("trial.py")


def try_out(trial: str, device: int | None = None, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """Lets a process of its own try an ability.

    Args:
        trial: its name in ``trial.TRIALS``.
        device: index of the CUDA device; None where there is none.
        patience_s: wall time that it may take.

    Returns:
        ``works``, ``detail`` (what is there; or why it is not, and what to do), and what the trial adds.
    """
    python = interpreter()
    if python is None:
        return _failed("not tried, as this program has no Python interpreter to start")
    order = {"trial": trial, "device": device, "path": sys.path, "fatbin": str(FATBIN)}
    try:
        process = subprocess.Popen(
            # -I and -S: sys.path comes along, and nothing else is imported.
            [python, "-I", "-S", str(_TRIAL), json.dumps(order)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # nvidia-smi counts like this; without it the fastest GPU comes first.
            env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ},
        )
    except OSError as error:
        return _failed(f"not tried, as no process starts for it ({error.strerror})")
    try:
        answer, _ = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        _leave(process)
        return _failed(f"does not answer within {patience_s:g} s: restart the machine, or update the driver")
    if process.returncode < 0:
        return _failed(f"crashes (signal {-process.returncode}): update or reinstall the driver")
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        return _failed(f"its trial ends without an answer (exit code {process.returncode})")
    return found


def _leave(process: subprocess.Popen[bytes]) -> None:
    """Kills it, without waiting for ever: one that waits in a driver cannot even be killed."""
    process.kill()
    if process.stdout is not None:
        process.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)


def _failed(detail: str) -> dict[str, Any]:
    return {"works": False, "detail": detail}
