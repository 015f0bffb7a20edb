"""What, beside plan and sources, decides the bytes of a conversion: the machine's kind and the software."""

from __future__ import annotations

import functools
import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from .. import _native
from ..on_device.place import Place
from ..processor import instructions
from ..runtime.onnx_session import onnxruntime
from ..weights.own import OWN_SHA256

# Wheels whose code computes or writes samples.
_PACKAGES = ("crossface", "av", "numpy")
# Instructions for which ONNX Runtime has kernels of their own.
_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8")


# Before what a plan calls an engine that was built for a GPU; see `Place.engine`.
_ENGINE = "engine "


def fingerprint(place: Place | None = None, engines: Mapping[str, str] | None = None) -> dict[str, str]:
    """Machines that give the same dictionary give the same bytes.

    Args:
        place: where the pictures are made; None for the CPU.
        engines: that are used there, by `engine_name`.
    """
    there = {} if place is None else place.fingerprint()
    built = {_ENGINE + name: sha256 for name, sha256 in (engines or {}).items()}
    return {**_fingerprint(), **there, **built}


def engines_of(fingerprint: Mapping[str, str]) -> dict[str, str]:
    """The engines that a fingerprint was made with."""
    return {
        name.removeprefix(_ENGINE): sha256 for name, sha256 in fingerprint.items() if name.startswith(_ENGINE)
    }


def is_of_gpu(fingerprint: Mapping[str, str]) -> bool:
    """Whether the pictures are made on one."""
    return "gpu" in fingerprint


@functools.cache
def _fingerprint() -> dict[str, str]:
    return {
        "machine": platform.machine(),
        "instructions": " ".join(name for name in _INSTRUCTIONS if name in instructions()),
        **{name: version(name) for name in _PACKAGES},
        # Its package is called otherwise where it is made for GPUs.
        "onnxruntime": onnxruntime.__version__,
        "occlusion": OWN_SHA256["occlusion"][:16],
        "kernels": hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()[:16],
    }


def differences(wanted: Mapping[str, str], here: Mapping[str, str]) -> str:
    """Names what is not the same."""
    names = [name for name in {**wanted, **here} if wanted.get(name) != here.get(name)]
    return ", ".join(
        f"{name} {wanted.get(name, 'none')} there, {here.get(name, 'none')} here" for name in names
    )
