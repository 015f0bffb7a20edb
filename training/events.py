"""What a training run tells while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..engine.events import Warned
from .held_out import HeldOut


@dataclass(frozen=True)
class StepDone:
    """One step.

    Attributes:
        step: steps done, over all runs.
        progress: share of the run that is done, 0..1.
        loss_a: of person A's faces.
        loss_b: of person B's faces.
        samples_per_s: faces of both people, in this step.
        data_share: share of the step's time that was spent waiting for faces.
        augment_share: share of the step's time that augmenting them took, on the device.
        learning_rate: of this step.
    """

    step: int
    progress: float
    loss_a: float
    loss_b: float
    samples_per_s: float
    data_share: float
    augment_share: float
    learning_rate: float


@dataclass(frozen=True)
class CheckpointWritten:
    step: int
    path: Path


@dataclass(frozen=True)
class PreviewWritten:
    step: int
    path: Path


@dataclass(frozen=True)
class Measured:
    """What became of the faces that are not trained on.

    Attributes:
        held_out: their dissimilarity.
        best: whether the average of the weights was never better, and was kept as the best.
    """

    held_out: HeldOut
    best: bool


@dataclass(frozen=True)
class RolledBack:
    """A step diverged: the run goes on from its last good state, with a lower rate.

    Attributes:
        step: the step that went wrong.
        to_step: steps done in the state that it goes on from.
        rate_scale: of all learning rates from now on.
    """

    step: int
    to_step: int
    rate_scale: float


@dataclass(frozen=True)
class PlateauReached:
    """Held-out faces get no better: the learning rate falls from here on, until ``end_step``."""

    step: int
    end_step: int


@dataclass(frozen=True)
class TrainingDone:
    """The run is at its end; ``elapsed_s`` counts all runs of this model."""

    step: int
    elapsed_s: float


TrainingEvent = (
    Warned
    | StepDone
    | CheckpointWritten
    | PreviewWritten
    | Measured
    | RolledBack
    | PlateauReached
    | TrainingDone
)
