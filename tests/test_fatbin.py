"""What nvcc built for GPUs, by the compiler's own report and the file's headers."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from crossface.engine import _native

ARCHITECTURES = {"sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"}
TEXELS = ("f32", "f16")
NAMES = (
    *("resize", "crop", "stats_parts", "blend", "outline"),
    *("soften_down", "soften_across", "uncover", "finite"),
)
KERNELS = (
    {"stats_totals", "soften_areas", "thumbnails", "aim_crops", "follow_faces"}
    | {"skin", "details", "sharpen", "noise_counts", "noise_totals", "mark"}
    | {f"{name}_{texel}" for name in NAMES for texel in TEXELS}
    | {f"prepare_{here}_{there}" for here in TEXELS for there in TEXELS}
)
ELF, PTX = 2, 1


def images(fatbin: bytes) -> set[tuple[int, str]]:
    """Kind and architecture of what a fatbin holds, each after a header of its own."""
    magic, _, header_bytes, content_bytes = struct.unpack_from("<IHHQ", fatbin)
    assert magic == 0xBA55ED50 and header_bytes + content_bytes == len(fatbin)
    found, position = set(), header_bytes
    while position < len(fatbin):
        kind, _, header_bytes, image_bytes = struct.unpack_from("<HHIQ", fatbin, position)
        (architecture,) = struct.unpack_from("<I", fatbin, position + 28)
        found.add((kind, f"sm_{architecture}"))
        position += header_bytes + image_bytes
    return found


@pytest.mark.needs_nvcc
def test_no_kernel_spills_or_uses_local_memory_on_any_architecture() -> None:
    folder = Path(_native.__file__).parent
    fatbin, report = folder / "kernels.fatbin", folder / "kernels.ptxas.txt"
    assert fatbin.is_file() and report.is_file(), 'nvcc is there, but the build has no CUDA: run "make setup"'
    # Each compiler run writes its own lines, and several run at once: a function's lines name it.
    functions = re.findall(
        r"Compiling entry function '(\w+)' for '(\w+)'\n"
        r".*Function properties for \1\n"
        r" *(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\n",
        report.read_text(),
    )
    assert {(name, target) for name, target, *_ in functions} == {
        (name, target) for name in KERNELS for target in ARCHITECTURES
    }
    assert [function for function in functions if function[2:] != ("0", "0", "0")] == []
    assert images(fatbin.read_bytes()) == {(ELF, target) for target in ARCHITECTURES} | {(PTX, "sm_120")}
