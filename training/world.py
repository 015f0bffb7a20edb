"""The processes that train one model together, as ``torchrun`` starts them; most often just one.

Gradients are averaged by PyTorch's own `DistributedDataParallel`. What is left to agree on is time, and what
went wrong where.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as processes
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# The first process may write a checkpoint or a preview while the others wait for it.
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class World:
    """This process among all.

    Attributes:
        rank: its number; 0 writes and tells.
        size: how many there are.
        device: of this process.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, module: nn.Module) -> nn.Module:
        """The module, whose gradients are averaged over all processes where there are several."""
        if self.size == 1:
            return module
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=devices, gradient_as_bucket_view=True)

    def sharing(self, module: nn.Module, shares: bool) -> AbstractContextManager[object]:
        """A pass of what `share` gave; gradients are averaged in the last pass of a step only."""
        if isinstance(module, DistributedDataParallel) and not shares:
            return module.no_sync()
        return nullcontext()

    def from_first(self, *values: float) -> tuple[float, ...]:
        """What the first process has; all must ask."""
        if self.size == 1:
            return values
        numbers = self._numbers(*values)
        processes.broadcast(numbers, src=0)
        return tuple(numbers.tolist())

    def mean(self, *values: float) -> tuple[float, ...]:
        """Over all processes; no number where one of them has none. All must ask."""
        if self.size == 1:
            return values
        numbers = self._numbers(*values)
        processes.all_reduce(numbers)
        return tuple((numbers / self.size).tolist())

    def wait(self) -> None:
        """For all processes to come here."""
        if self.size > 1:
            processes.barrier()

    def _numbers(self, *values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)


def rank_here() -> int:
    """Of this process, by what ``torchrun`` set; 0 where it did not start it."""
    return int(os.environ.get("RANK", "0"))


def local_rank_here() -> int:
    """Of this process among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextmanager
def joined_world(device: torch.device) -> Iterator[World]:
    """Joins the others, where ``torchrun`` started this process with others."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(0, 1, device)
        return
    processes.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield World(rank_here(), size, device)
    finally:
        processes.destroy_process_group()
