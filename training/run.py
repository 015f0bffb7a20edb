"""One run of training: what a step is, and what becomes of one that fails."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from ..engine.lifetime import Closeable
from .augment import Batch, augment
from .checkpoint import CHECKPOINT_NAME
from .events import Measured, RolledBack, StepDone
from .held_out import measure
from .learner import DivergedError, Learner
from .loader import DeviceTime, Loader
from .losses import DEFAULT_LOSSES, LossSettings
from .objective import Objective, StepLosses
from .perceptual import Perceptual
from .precision import bfloat16_pays
from .presets import Preset
from .schedule import Budget, rate_factor
from .seeds import generator
from .store import Faces, FaceStore
from .world import World

GRADIENT_NORM = 1.0
# A loss so many times what it was lately is no bad luck.
_BURST = 3.0
_BURST_FROM_STEP = 200
_LATELY = 0.02
# After so many good steps a run that diverges has not diverged again.
_GOOD_STEPS = 500

# Streams of random numbers that must not coincide.
_ORDER_A, _ORDER_B, _CHANGE_A, _CHANGE_B = range(4)


class _Pass(NamedTuple):
    """Losses of A's and of B's faces, and what making them took."""

    a: float
    b: float
    waited_s: float
    augmented_s: float


@dataclass
class Run(Closeable):
    """A model on its way: a step, a measurement, and the way back where one went wrong.

    Attributes:
        learner: what learns.
        stores: the faces of A and B.
        held_out: those that are only measured with; None where all are trained on.
        until_plateau: whether the run ends when these get no better.
        budget: how long it may take.
        seed: of everything random.
        batch: faces of each person in a pass, in each process.
        accumulate: passes whose gradients make a step.
        learning_rate: at its peak.
        world: the processes that train together.
        base: folder of the model that this one begins with.
        losses: what it learns by.
        perceptual: the metric of LPIPS, where the losses ask for it.
        rollbacks: how often it diverged.
        in_a_row: how often without many good steps between.
    """

    learner: Learner
    stores: tuple[FaceStore, FaceStore]
    held_out: tuple[FaceStore, FaceStore] | None
    until_plateau: bool
    budget: Budget
    seed: int
    batch: int
    learning_rate: float
    world: World
    base: Path | None = None
    losses: LossSettings = DEFAULT_LOSSES
    perceptual: Perceptual | None = None
    accumulate: int = 1
    rollbacks: int = 0
    in_a_row: int = 0
    _loss_lately: float | None = None
    _failed_step: int = 0

    def __post_init__(self) -> None:
        learner = self.learner
        objective = Objective(learner.network, self.losses, learner.critics, self.perceptual)
        self._objective = self.world.share(objective.to(self.device))
        streams = _ORDER_A, _ORDER_B
        self._in_bfloat16 = bfloat16_pays(self.device)
        self._paired = self.losses.code_pairs > 0
        self._loader = Loader(self.stores, self.batch, self.seed, streams, self.world, paired=self._paired)

    def close(self) -> None:
        """Ends the thread that gathers faces."""
        self._loader.close()

    @property
    def device(self) -> torch.device:
        return self.world.device

    @property
    def preset(self) -> Preset:
        preset: Preset = self.learner.network.preset
        return preset

    def is_over(self) -> bool:
        """Whether the budget is used up; all processes must ask, for one clock decides."""
        done = self.learner.progress
        elapsed_s, plateau_step = self.world.from_first(done.elapsed_s, done.plateau_step or 0)
        done.elapsed_s, done.plateau_step = elapsed_s, int(plateau_step) or None
        return self.progress() >= 1

    def progress(self) -> float:
        """Share that is done, 0..1."""
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
        learner.optimiser.zero_grad(set_to_none=True)
        passes = []
        for number in range(self.accumulate):
            last = number == self.accumulate - 1
            with self.world.sharing(self._objective, last):
                passes.append(self._pass(done.step * self.accumulate + number))
        norm = torch.nn.utils.clip_grad_norm_(learner.network.parameters(), GRADIENT_NORM)
        own_a = sum(each.a for each in passes) / len(passes)
        own_b = sum(each.b for each in passes) / len(passes)
        of_a, of_b, norms = self.world.mean(own_a, own_b, norm.item())
        self._check(of_a + of_b, norms)
        learner.optimiser.step()
        done.step += 1
        done.losses = of_a, of_b
        learner.update_average()

        took = time.monotonic() - started
        done.elapsed_s += took
        return StepDone(
            step=done.step,
            progress=self.progress(),
            loss_a=of_a,
            loss_b=of_b,
            samples_per_s=2 * self.batch * self.accumulate * self.world.size / took,
            data_share=sum(each.waited_s for each in passes) / took,
            augment_share=sum(each.augmented_s for each in passes) / took,
            learning_rate=rate,
        )

    def _pass(self, number: int) -> _Pass:
        """The gradients of one batch, added to those that are there.

        Args:
            number: of the pass, over the whole run.
        """
        stored_a, stored_b = self._loader.take(number)
        waited_s = self._loader.waited_s
        with DeviceTime(self.device) as augmenting:
            faces_a = self._faces(stored_a, self.stores[0].span, _CHANGE_A, number)
            # Faces that do the same are to be seen doing the same: turned, moved and mirrored alike.
            change_b = _CHANGE_A if self._paired else _CHANGE_B
            faces_b = self._faces(stored_b, self.stores[1].span, change_b, number)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._in_bfloat16):
            lost: StepLosses = self._objective(faces_a, faces_b, self.progress())
        torch.autograd.backward(lost.total / self.accumulate)
        return _Pass(lost.a.item(), lost.b.item(), waited_s, augmenting.seconds())

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
        self.world.wait()  # until the last checkpoint is whole
        learner, failed, self._loss_lately = self.learner, self.learner.progress, None
        since = failed.step - self._failed_step
        self.in_a_row = self.in_a_row + 1 if since < _GOOD_STEPS else 1
        self.rollbacks, self._failed_step = self.rollbacks + 1, failed.step
        if (model / CHECKPOINT_NAME).exists():
            learner.load(model)
        else:
            learner.begin(self.seed, self.base)
        rate_scale = failed.rate_scale / 2
        learner.progress = replace(learner.progress, rate_scale=rate_scale, elapsed_s=failed.elapsed_s)
        return RolledBack(failed.step + 1, learner.progress.step, rate_scale)

    def _faces(self, stored: Faces, span: float, change: int, number: int) -> Batch:
        rank = self.world.rank
        place = (self.seed, change, number, rank) if rank else (self.seed, change, number)
        random = generator(*place, device=self.device)
        return augment(stored.pixels, span, self.preset.size_px, random, points=stored.points)

    def _check(self, loss: float, norm: float) -> None:
        step, lately = self.learner.progress.step, self._loss_lately
        burst = lately is not None and step >= _BURST_FROM_STEP and loss > _BURST * lately
        if burst or not math.isfinite(loss + norm):
            raise DivergedError(
                f"training diverged in step {step + 1}, {self.in_a_row + 1} times in a row: the last "
                "checkpoint is whole; go on from it with a lower rate, such as "
                f"--learning-rate {self.learning_rate / 2:g}"
            )
        self._loss_lately = loss if lately is None else lately + _LATELY * (loss - lately)
