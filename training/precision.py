"""In what numbers a network multiplies while it learns: in bfloat16 where that is faster, else in float32."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import torch

from ..engine.processor import instructions, vendor


def bfloat16_pays(device: torch.device) -> bool:
    """Whether layers are best run under autocast on this device."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            has: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return has
    return _pays(vendor(), instructions())


def _pays(vendor: str, able: AbstractSet[str]) -> bool:
    """Of a processor; those without such instructions only emulate them, slowly.

    Intel's vector units take so long over products of bfloat16 that they do half as many a second as of
    float32 (a Xeon of model 207: 74 and 143 GFLOP/s); there it pays by matrix units alone, which virtual
    machines often hide.
    """
    return "amx_bf16" in able or ("avx512_bf16" in able and vendor != "GenuineIntel")
