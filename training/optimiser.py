"""Adam for weights in channels-last order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ChannelsLastAdam(torch.optim.Adam):
    """PyTorch's fused Adam, given every tensor in the order in which it lies in memory.

    The fused kernel for CPUs walks through memory, whatever the strides, and
    first copies each weight that is not contiguous: for a network in
    channels-last order a copy of nearly all of it, for nothing. The result is
    the same to the bit.
    """

    def _init_group(self, group: dict[str, Any], *lists: list[Tensor]) -> bool:
        has_complex: bool = super()._init_group(group, *lists)  # type: ignore[no-untyped-call]
        # The last one holds the steps.
        for tensors in lists[:-1]:
            tensors[:] = [as_it_lies(tensor) for tensor in tensors]
        return has_complex


def as_it_lies(tensor: Tensor) -> Tensor:
    """A tensor, contiguous or `[O,I,H,W]` in channels-last order, as one row, without a copy."""
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).flatten()
    return tensor.flatten()
