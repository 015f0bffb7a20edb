"""How a training run is doing, for whoever asks from outside: a small file in the model's folder."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..engine.errors import BadInputError, InputMissingError
from ..engine.part_file import PartFile
from .events import StepDone
from .held_out import HeldOut

STATUS_NAME = "status.json"
FORMAT_VERSION = 1
WRITTEN_EVERY_S = 5.0


@dataclass(frozen=True)
class Status:
    """A run, a moment ago.

    Attributes:
        step: steps done.
        progress: share of the run that is done, 0..1.
        elapsed_s: time spent, over all runs.
        loss_a: of the last step.
        loss_b: of the last step.
        samples_per_s: faces of both people.
        data_share: share of a step's time that is spent waiting for faces.
        augment_share: share of a step's time that augmenting them takes.
        learning_rate: of the last step.
        held_out: the last measurement; None where none was made.
        best: the best one.
        rollbacks: how often the run diverged and went on from its last good state.
        written_at: seconds since 1970.
    """

    step: int
    progress: float
    elapsed_s: float
    loss_a: float
    loss_b: float
    samples_per_s: float
    data_share: float
    augment_share: float
    learning_rate: float
    held_out: HeldOut | None
    best: HeldOut | None
    rollbacks: int
    written_at: float

    @staticmethod
    def of(done: StepDone, elapsed_s: float, measured: list[HeldOut], rollbacks: int) -> Status:
        return Status(
            **asdict(done),
            elapsed_s=elapsed_s,
            held_out=measured[-1] if measured else None,
            best=min(measured, key=lambda each: each.mean) if measured else None,
            rollbacks=rollbacks,
            written_at=time.time(),
        )

    @property
    def left_s(self) -> float | None:
        """Until the run's end, as far as its progress tells; None at its beginning."""
        return self.elapsed_s * (1 - self.progress) / self.progress if self.progress > 0 else None

    def write(self, model: Path) -> None:
        """Raises: OutputError."""
        with PartFile(model / STATUS_NAME, overwrite=True) as part:
            part.write_text(json.dumps({"status": FORMAT_VERSION, **asdict(self)}) + "\n", encoding="utf-8")

    @staticmethod
    def read(model: Path) -> Status:
        """Raises: InputMissingError, BadInputError."""
        path = model / STATUS_NAME
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if fields.pop("status") != FORMAT_VERSION:
                raise BadInputError(f"{path}: of another version of Crossface: update it")
            for name in ("held_out", "best"):
                if fields[name] is not None:
                    fields[name] = HeldOut(**fields[name])
            return Status(**fields)
        except OSError as error:
            raise InputMissingError(
                f"{path}: cannot be read ({error.strerror}): give the folder of a model in training"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"{path}: damaged ({error}): the next run writes it anew") from error

    def __str__(self) -> str:
        lines = [
            f"step {self.step}, {self.progress:.1%} after {self.elapsed_s / 60:.1f} min"
            + ("" if self.left_s is None else f", about {self.left_s / 60:.0f} min left"),
            f"loss A {self.loss_a:.4f}, B {self.loss_b:.4f}; rate {self.learning_rate:.2e}; "
            f"{self.samples_per_s:.1f} faces/s, waiting for faces {self.data_share:.1%}",
        ]
        if self.held_out is not None and self.best is not None:
            lines.append(
                f"held-out DSSIM A {self.held_out.dssim_a:.4f}, B {self.held_out.dssim_b:.4f} at step "
                f"{self.held_out.step}; best {self.best.mean:.4f} at step {self.best.step}"
            )
        if self.rollbacks:
            lines.append(f"{self.rollbacks} times rolled back after it diverged")
        return "\n".join(lines)


def is_training(model: Path) -> bool:
    """Whether a process trains this model now: it holds a lock on the folder.

    The system is asked who holds what; to try the lock would keep a run that begins just then from it.
    """
    try:
        inode = model.stat().st_ino
        locks = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any(" FLOCK " in line and line.split()[5].endswith(f":{inode}") for line in locks)
