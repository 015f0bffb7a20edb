"""How a training run is doing, for whoever asks from outside: a small file in the model's folder."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..engine.errors import BadInputError, InputMissingError
from ..engine.part_file import PartFile
from .checkpoint import Progress
from .events import StepDone
from .held_out import HeldOut

STATUS_NAME = "status.json"
FORMAT_VERSION = 1
WRITTEN_EVERY_S = 5.0


@dataclass(frozen=True)
class Status:
    """A run, a moment ago.

    Attributes:
        done: its last step.
        elapsed_s: time spent, over all runs.
        held_out: the last measurement; None where none was made.
        best: the best one.
        rollbacks: how often the run diverged and went on from its last good state.
        written_at: seconds since 1970.
    """

    done: StepDone
    elapsed_s: float
    held_out: HeldOut | None
    best: HeldOut | None
    rollbacks: int
    written_at: float

    @staticmethod
    def of(done: StepDone, progress: Progress, rollbacks: int) -> Status:
        return Status(
            done,
            progress.elapsed_s,
            held_out=progress.measured[-1] if progress.measured else None,
            best=progress.best,
            rollbacks=rollbacks,
            written_at=time.time(),
        )

    @property
    def left_s(self) -> float | None:
        """Until the run's end, as far as its progress tells; None at its beginning."""
        return (
            self.elapsed_s * (1 - self.done.progress) / self.done.progress if self.done.progress > 0 else None
        )

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
            return Status(**{**fields, "done": StepDone(**fields["done"])})
        except OSError as error:
            raise InputMissingError(
                f"{path}: cannot be read ({error.strerror}): give the folder of a model in training"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"{path}: damaged ({error}): the next run writes it anew") from error

    def __str__(self) -> str:
        done = self.done
        lines = [
            f"step {done.step}, {done.progress:.1%} after {self.elapsed_s / 60:.1f} min"
            + ("" if self.left_s is None else f", about {self.left_s / 60:.0f} min left"),
            f"loss A {done.loss_a:.4f}, B {done.loss_b:.4f}; rate {done.learning_rate:.2e}; "
            f"{done.samples_per_s:.1f} faces/s, waiting for faces {done.data_share:.1%}",
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
