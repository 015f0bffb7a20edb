"""Results as files: what was asked, where and when it was measured, and the figures."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from crossface.engine import _native
from crossface.engine.runtime.onnx import available_cores


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def write_result(path: Path, question: str, packages: Sequence[str], figures: Mapping[str, object]) -> None:
    """Writes a result as JSON.

    Args:
        path: the file.
        question: that the figures answer.
        packages: whose versions count, beside Python's and NumPy's.
        figures: by name.
    """
    record = {"question": question, **_describe(packages), **figures}
    path.write_text(json.dumps(record, indent=2) + "\n")


def _describe(packages: Sequence[str]) -> dict[str, object]:
    """Date, processor, cores, instruction set, system, and versions."""
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
