"""What a network costs, told without making its weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from .models import build, parameter_count
from .presets import Preset


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        parameters: of all that is trained; a checkpoint holds four numbers for each.
        drawing_parameters: of what an exported model has.
        gflops: floating-point operations to draw one face, in 1e9, a multiplication and an addition as two;
            training takes about three times as many for each face.
    """

    parameters: int
    drawing_parameters: int
    gflops: float


def cost(preset: Preset) -> Cost:
    """The cost of drawing B; convolutions and dense layers are counted."""
    with torch.device("meta"):
        network = build(preset)
        face = torch.empty(1, 3, preset.size_px, preset.size_px)
    used = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with FlopCounterMode(display=False) as counter:
        drawn = network(face, "b")
    gradients = torch.autograd.grad(drawn.sum(), used, allow_unused=True)
    drawing = sum(each.numel() for each, grad in zip(used, gradients, strict=True) if grad is not None)
    return Cost(parameter_count(network), drawing, counter.get_total_flops() / 1e9)
