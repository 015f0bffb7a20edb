"""What, beside plan and sources, decides the bytes of a conversion: the machine's kind and the software."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

from .. import _native
from ..processor import instructions

# Wheels whose code computes or writes samples.
_PACKAGES = ("crossface", "av", "numpy", "onnxruntime")
# Instructions for which ONNX Runtime has kernels of their own.
_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")


def fingerprint() -> dict[str, str]:
    """Machines that give the same dictionary give the same bytes."""
    return dict(_fingerprint())


@functools.cache
def _fingerprint() -> dict[str, str]:
    return {
        "machine": platform.machine(),
        "instructions": " ".join(name for name in _INSTRUCTIONS if name in instructions()),
        **{name: version(name) for name in _PACKAGES},
        "kernels": hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()[:16],
    }


def differences(wanted: dict[str, str], here: dict[str, str]) -> str:
    """Names what is not the same."""
    names = [name for name in {**wanted, **here} if wanted.get(name) != here.get(name)]
    return ", ".join(
        f"{name} {wanted.get(name, 'none')} there, {here.get(name, 'none')} here" for name in names
    )
