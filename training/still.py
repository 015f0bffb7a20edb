"""A module that judges or draws, and learns nothing from it."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.func import functional_call


def still(module: nn.Module, *inputs: Any) -> Any:
    """What a module gives: gradients pass through it to its inputs, and none stays at its weights.

    Nothing of the module is changed, so that the same pass may train it elsewhere.
    """
    unmoved = {name: parameter.detach() for name, parameter in module.named_parameters()}
    return functional_call(module, unmoved, inputs)
