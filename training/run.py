"""One run of training: what a step is, and what becomes of one that fails."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from .augment import Batch, augment
from .checkpoint import CHECKPOINT_NAME, DivergedError, Learner
from .events import Measured, RolledBack, StepDone
from .held_out import measure
from .losses import face_loss
from .models import Preset
from .schedule import Budget, rate_factor
from .seeds import generator
from .store import FaceStore

GRADIENT_NORM = 1.0
# A loss so many times what it was lately is no bad luck.
_BURST = 3.0
_BURST_FROM_STEP = 200
_LATELY = 0.02

# Streams of random numbers that must not coincide.
_ORDER_A, _ORDER_B, _CHANGE_A, _CHANGE_B = range(4)


@dataclass
class Run:
    """A model on its way: a step, a measurement, and the way back where one went wrong.

    Attributes:
        learner: what learns.
        stores: the faces of A and B.
        held_out: those that are only measured with; None where all are trained on.
        until_plateau: whether the run ends when these get no better.
        budget: how long it may take.
        seed: of everything random.
        batch: faces of each person in a step.
        learning_rate: at its peak.
        device: of everything.
        base: folder of the model that this one begins with.
        rollbacks: how often it diverged.
        in_a_row: how often since the last checkpoint.
    """

    learner: Learner
    stores: tuple[FaceStore, FaceStore]
    held_out: tuple[FaceStore, FaceStore] | None
    until_plateau: bool
    budget: Budget
    seed: int
    batch: int
    learning_rate: float
    device: torch.device
    base: Path | None = None
    rollbacks: int = 0
    in_a_row: int = 0
    _loss_lately: float | None = None

    @property
    def preset(self) -> Preset:
        preset: Preset = self.learner.network.preset
        return preset

    def progress(self) -> float:
        done = self.learner.progress
        return self.budget.progress(done.step, done.elapsed_s, done.plateau_step)

    def step(self, *, warm: bool = False) -> StepDone:
        """Trains on one batch.

        Args:
            warm: at the full learning rate, whatever the schedule says.

        Raises:
            DivergedError: the weights are as they were.
        """
        learner, started = self.learner, time.monotonic()
        done = learner.progress
        factor = 1.0 if warm else rate_factor(done.step, self.progress())
        rate = self.learning_rate * done.rate_scale * factor
        for group in learner.optimiser.param_groups:
            group["lr"] = rate
        faces_a = self._faces(self.stores[0], _ORDER_A, _CHANGE_A)
        faces_b = self._faces(self.stores[1], _ORDER_B, _CHANGE_B)
        made = time.monotonic()

        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=_has_bfloat16(self.device)):
            both = torch.cat((faces_a.input, faces_b.input)).contiguous(memory_format=torch.channels_last)
            code_a, code_b = learner.network.encoder(both).split(self.batch)
            loss_a = face_loss(learner.network.decoder_a(code_a), faces_a)
            loss_b = face_loss(learner.network.decoder_b(code_b), faces_b)
        learner.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_a + loss_b)
        norm = torch.nn.utils.clip_grad_norm_(learner.network.parameters(), GRADIENT_NORM)
        self._check(loss_a + loss_b, norm)
        learner.optimiser.step()
        done.step += 1
        done.losses = loss_a.item(), loss_b.item()
        learner.update_average()

        took = time.monotonic() - started
        done.elapsed_s += took
        return StepDone(
            step=done.step,
            progress=self.progress(),
            loss_a=done.losses[0],
            loss_b=done.losses[1],
            samples_per_s=2 * self.batch / took,
            data_share=(made - started) / took,
            learning_rate=rate,
        )

    def measure(self) -> Measured | None:
        """What becomes of held-out faces, where there are any."""
        if self.held_out is None:
            return None
        done = self.learner.progress
        held_out = measure(self.learner.average, self.held_out, done.step)
        best = done.best is None or held_out.mean < done.best.mean
        done.measured.append(held_out)
        return Measured(held_out, best)

    def roll_back(self, model: Path) -> RolledBack:
        """Goes on from the last checkpoint, or from the start, at half the rate.

        Raises:
            BadInputError: that checkpoint is damaged.
        """
        learner, self._loss_lately = self.learner, None
        self.rollbacks, self.in_a_row = self.rollbacks + 1, self.in_a_row + 1
        scale, elapsed_s, failed = (
            learner.progress.rate_scale,
            learner.progress.elapsed_s,
            learner.progress.step,
        )
        if (model / CHECKPOINT_NAME).exists():
            learner.load(model)
        else:
            learner.begin(self.seed, self.base)
        learner.progress = replace(learner.progress, rate_scale=scale / 2, elapsed_s=elapsed_s)
        return RolledBack(failed + 1, learner.progress.step, scale / 2)

    def _faces(self, store: FaceStore, order: int, change: int) -> Batch:
        step = self.learner.progress.step
        pixels = store.draw(step, self.batch, self.seed, order)
        random = generator(self.seed, change, step, device=self.device)
        return augment(pixels, store.span, self.preset.size_px, random)

    def _check(self, loss: Tensor, norm: Tensor) -> None:
        step, value = self.learner.progress.step, float(loss.detach())
        lately = self._loss_lately
        burst = lately is not None and step >= _BURST_FROM_STEP and value > _BURST * lately
        if burst or not bool(torch.isfinite(loss + norm)):
            raise DivergedError(
                f"training diverged in step {step + 1}, {self.in_a_row + 1} times in a row: the last "
                "checkpoint is whole; go on from it with a lower rate, such as "
                f"--learning-rate {self.learning_rate / 2:g}"
            )
        self._loss_lately = value if lately is None else lately + _LATELY * (value - lately)


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16; CPUs without it only emulate it, slowly."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            has: bool = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu._is_avx512_bf16_supported()
    return has
