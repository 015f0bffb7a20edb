"""Random numbers of a batch, one set a face."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Draws from one generator, in the order of the calls.

    Attributes:
        random: on the device.
        device: of what is drawn.
        count: faces N.
    """

    random: torch.Generator
    device: torch.device
    count: int

    def uniform(self, channels: int = 1) -> Tensor:
        """In 0..1: `[N,channels,1,1]`."""
        return torch.rand(self.count, channels, 1, 1, generator=self.random, device=self.device)

    def even(self, amount: float, channels: int = 1) -> Tensor:
        """In -amount..amount: `[N,channels,1,1]`."""
        return (self.uniform(channels) * 2 - 1) * amount

    def between(self, low: float, high: float, channels: int = 1) -> Tensor:
        """In low..high: `[N,channels,1,1]`."""
        return low + (high - low) * self.uniform(channels)

    def happens(self, probability: float) -> Tensor:
        """1 with this probability, else 0: `[N,1,1,1]`."""
        return (self.uniform() < probability).float()

    def normal(self, *shape: int) -> Tensor:
        """Standard normal: `[N,*shape]`."""
        return torch.randn(self.count, *shape, generator=self.random, device=self.device)
