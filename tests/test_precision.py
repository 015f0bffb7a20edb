"""Which processors learn in bfloat16."""

from __future__ import annotations

import pytest
import torch

from crossface.training.precision import _pays, bfloat16_pays


@pytest.mark.parametrize(
    ("vendor", "able", "pays"),
    [
        ("GenuineIntel", {"avx512f", "avx512_bf16", "amx_tile", "amx_bf16"}, True),
        ("GenuineIntel", {"avx512f", "avx512_bf16"}, False),  # the same in a virtual machine that hides AMX
        ("GenuineIntel", {"avx512f"}, False),
        ("AuthenticAMD", {"avx512f", "avx512_bf16"}, True),  # Zen 4
        ("AuthenticAMD", {"avx2"}, False),
        ("", set(), False),
    ],
)
def test_bfloat16_is_for_processors_that_gain_by_it(vendor: str, able: set[str], pays: bool) -> None:
    assert _pays(vendor, able) is pays


def test_it_is_never_emulated_here() -> None:
    if bfloat16_pays(torch.device("cpu")):
        assert torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
