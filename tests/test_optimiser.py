"""Adam for channels-last weights against PyTorch's plain one."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import profile

from crossface.training.optimiser import ChannelsLastAdam

SHAPES = ((24, 16, 5, 5), (24,), (7, 9), (8, 4, 1, 1), (8, 1, 3, 3), (1, 6, 3, 3))


def _trained(kind: type[torch.optim.Adam], layout: torch.memory_format, steps: int = 4) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(3)
    weights = []
    for shape in SHAPES:
        weight = torch.randn(shape, generator=random)
        weights.append(
            torch.nn.Parameter(weight.contiguous(memory_format=layout) if weight.dim() == 4 else weight)
        )
    optimiser = kind(weights, lr=0.01, betas=(0.9, 0.99), fused=True)
    for _ in range(steps):
        optimiser.zero_grad()
        # Through autograd, which lays gradients out as their weights.
        loss = sum((weight * torch.randn(weight.shape, generator=random)).sum() for weight in weights)
        torch.autograd.backward([loss])
        optimiser.step()
    return [weight.detach() for weight in weights]


def test_channels_last_weights_learn_to_the_bit_what_contiguous_ones_do() -> None:
    expected = _trained(torch.optim.Adam, torch.contiguous_format)
    for layout in (torch.channels_last, torch.contiguous_format):
        made = _trained(ChannelsLastAdam, layout)
        for one, other in zip(made, expected, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
        assert made[0].is_contiguous(memory_format=layout)


@pytest.mark.parametrize(("kind", "copies"), [(torch.optim.Adam, True), (ChannelsLastAdam, False)])
def test_no_weight_is_copied(kind: type[torch.optim.Adam], copies: bool) -> None:
    with profile() as profiled:
        _trained(kind, torch.channels_last, steps=1)
    within = [
        event.cpu_parent.name
        for event in profiled.events() or ()
        if event.name == "aten::contiguous" and event.cpu_parent is not None
    ]
    # That PyTorch's own does is what the class is for: without it, drop the class.
    assert ("aten::_fused_adam_" in within) == copies
