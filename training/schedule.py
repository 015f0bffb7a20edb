"""How long to train, and how fast at which moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .held_out import HeldOut

WARM_UP_STEPS = 100
DECAY_FROM = 0.6
FINAL_RATE = 0.02

# A run has stopped getting better when so many measurements in a row brought less than this share.
PLATEAU_MEASUREMENTS = 10
PLATEAU_GAIN = 0.01


@dataclass(frozen=True)
class Budget:
    """How long to train; what is reached first counts.

    Attributes:
        steps: of all runs of the model together; None for no limit.
        seconds: of all runs of the model together; None for no limit.
    """

    steps: int | None
    seconds: float | None

    def progress(self, step: int, elapsed_s: float, plateau_step: int | None = None) -> float:
        """Share that is done, 0..1.

        Args:
            step: steps done.
            elapsed_s: time spent.
            plateau_step: where the run stopped getting better: the rate falls from there on.
        """
        by_steps = step / self.steps if self.steps else 0.0
        by_time = elapsed_s / self.seconds if self.seconds else 0.0
        by_plateau = step * DECAY_FROM / plateau_step if plateau_step else 0.0
        return min(1.0, max(by_steps, by_time, by_plateau))


def rate_factor(step: int, progress: float) -> float:
    """The learning rate over its peak: linear warm-up, a plateau, and half a cosine down to 2 %."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    late = max(0.0, progress - DECAY_FROM) / (1 - DECAY_FROM)
    return warm_up * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * late)) / 2)


def has_stopped_improving(measured: Sequence[HeldOut]) -> bool:
    """Whether the last `PLATEAU_MEASUREMENTS` are hardly better than the best one before them."""
    if len(measured) <= PLATEAU_MEASUREMENTS:
        return False
    means = [each.mean for each in measured]
    before, lately = min(means[:-PLATEAU_MEASUREMENTS]), min(means[-PLATEAU_MEASUREMENTS:])
    return lately > before * (1 - PLATEAU_GAIN)
