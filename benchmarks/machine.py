"""What a result must say about where it was measured."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from crossface.engine import _native
from crossface.engine.runtime.onnx import available_cores


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def describe(*packages: str) -> dict[str, object]:
    """Date, processor, cores, instruction set, system, and versions of Python, NumPy and ``packages``."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": available_cores(),
        "isa": _native.isa_variants()[-1],
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("numpy", *packages)},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
