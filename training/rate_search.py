"""Which learning rate to begin with: one short run in which it rises until the loss bursts.

After Smith, "Cyclical learning rates for training neural networks", WACV 2017 (arXiv 1506.01186), section
3.3: the loss falls while the rate is right, stays while it is too low, and rises once it is too high.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

from .learner import DivergedError
from .run import Run

LOWEST, HIGHEST = 1e-6, 1e-1
# The loss, smoothed so, is believed.
_NEWEST = 0.1
_BURST = 1.5
# Where the loss is least, the rate is at its edge already.
_BELOW_THE_LEAST = 0.1


@dataclass(frozen=True)
class Tried:
    """A step of the search: its rate, and the smoothed loss of both people after it."""

    rate: float
    loss: float


def search_rate(run: Run, steps: int = 100) -> Generator[Tried]:
    """Trains with ever higher rates; the run is of no use afterwards.

    Args:
        run: as new, and without an end.
        steps: of the search; it breaks off where the loss bursts.
    """
    smooth, weight, least = 0.0, 0.0, math.inf
    for step in range(steps):
        run.learning_rate = LOWEST * (HIGHEST / LOWEST) ** (step / (steps - 1))
        # Past the warm-up, which would take back what is tried.
        try:
            done = run.step(warm=True)
        except DivergedError:
            return
        smooth += _NEWEST * (done.loss_a + done.loss_b - smooth)
        weight += _NEWEST * (1 - weight)
        loss = smooth / weight
        yield Tried(run.learning_rate, loss)
        least = min(least, loss)
        if loss > _BURST * least:
            return


def suggested(tried: list[Tried]) -> float:
    """A tenth of the rate at which the loss was least, to two digits.

    Raises:
        ValueError: nothing was tried.
    """
    best = min(tried, key=lambda each: each.loss)
    return float(f"{_BELOW_THE_LEAST * best.rate:.1e}")
