"""The course of a run: what is measured, drawn and written between its steps, and how often."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from ..engine.errors import OutputError
from ..engine.review.png import read_png
from .checkpoint import CHECKPOINT_NAME
from .events import (
    CheckpointWritten,
    PlateauReached,
    PreviewWritten,
    StepDone,
    TrainingDone,
    TrainingEvent,
)
from .learner import DivergedError
from .preview import PREVIEW_NAME, write_preview
from .run import Run
from .schedule import DECAY_FROM, has_stopped_improving
from .status import WRITTEN_EVERY_S, Status

CURVES_EVERY_STEPS = 20
# How often in a row a run goes on from its last good state before it gives up.
_MOST_ROLLBACKS = 8


@dataclass(frozen=True)
class Pace:
    """How often what is done.

    Attributes:
        measure_every_steps: between two measurements of held-out faces.
        preview_every_s: wall time between preview sheets.
        checkpoint_every_s: wall time between checkpoints.
        keep: how many checkpoints stay, the last one included.
    """

    measure_every_steps: int
    preview_every_s: float
    checkpoint_every_s: float
    keep: int


def in_charge(run: Run, model: Path, pace: Pace) -> Generator[TrainingEvent]:
    """The events of the process that writes and tells, to the run's end; closing it writes a checkpoint."""
    learner, preview = run.learner, model / PREVIEW_NAME
    saved_step = learner.progress.step
    previewed_at = saved_at = told_at = time.monotonic()
    # Points of a run that was killed after its last checkpoint are superseded.
    curves = SummaryWriter(str(model / "tensorboard"), purge_step=saved_step)
    done: StepDone | None = None
    try:
        while not run.is_over():
            try:
                done = run.step()
            except DivergedError:
                if run.in_a_row == _MOST_ROLLBACKS:
                    raise
                back = run.roll_back(model)
                saved_step = back.to_step
                yield back
                continue
            _draw_curves(curves, done)
            yield done
            now = time.monotonic()
            if done.step % pace.measure_every_steps == 0:
                yield from _measure(run, model, curves)
            if now - previewed_at >= pace.preview_every_s:
                yield _write_preview(run, preview, curves)
                previewed_at = time.monotonic()
            if now - saved_at >= pace.checkpoint_every_s:
                yield CheckpointWritten(done.step, learner.save(model, pace.keep))
                saved_step, saved_at = done.step, time.monotonic()
            if now - told_at >= WRITTEN_EVERY_S:
                _tell(run, done, model)
                told_at = time.monotonic()
            # Previews and checkpoints are part of a budget of minutes.
            learner.progress.elapsed_s += time.monotonic() - now
        step = learner.progress.step
        if step > saved_step or not (model / CHECKPOINT_NAME).exists():
            if not learner.progress.measured or learner.progress.measured[-1].step < step:
                yield from _measure(run, model, curves)
            written = learner.save(model, pace.keep)
            saved_step = step
            yield CheckpointWritten(step, written)
        yield _write_preview(run, preview, curves)
        yield TrainingDone(step, learner.progress.elapsed_s)
    except GeneratorExit:
        if learner.progress.step > saved_step:
            learner.save(model, pace.keep)
        raise
    finally:
        if done is not None:
            with contextlib.suppress(OutputError):
                _tell(run, done, model)
        curves.close()


def beside(run: Run, model: Path) -> Generator[TrainingEvent]:
    """The events of a process beside that one; it writes nothing."""
    while not run.is_over():
        try:
            yield run.step()
        except DivergedError:
            if run.in_a_row == _MOST_ROLLBACKS:
                raise
            run.roll_back(model)


def _measure(run: Run, model: Path, curves: SummaryWriter) -> Generator[TrainingEvent]:
    measured = run.measure()
    if measured is None:
        return
    held_out, progress = measured.held_out, run.learner.progress
    curves.add_scalar("held_out/dssim_a", held_out.dssim_a, held_out.step)
    curves.add_scalar("held_out/dssim_b", held_out.dssim_b, held_out.step)
    if measured.best:
        run.learner.save_best(model)
    yield measured
    if run.until_plateau and progress.plateau_step is None and has_stopped_improving(progress.measured):
        progress.plateau_step = progress.step
        yield PlateauReached(progress.step, round(progress.step / DECAY_FROM))


def _write_preview(run: Run, path: Path, curves: SummaryWriter) -> PreviewWritten:
    step = run.learner.progress.step
    write_preview(path, run.learner.average, *run.stores)
    curves.add_image("preview", read_png(path), step, dataformats="HWC")
    return PreviewWritten(step, path)


def _tell(run: Run, done: StepDone, model: Path) -> None:
    Status.of(done, run.learner.progress, run.rollbacks).write(model)


def _draw_curves(curves: SummaryWriter, done: StepDone) -> None:
    if done.step % CURVES_EVERY_STEPS:
        return
    curves.add_scalar("loss/a", done.loss_a, done.step)
    curves.add_scalar("loss/b", done.loss_b, done.step)
    curves.add_scalar("speed/samples_per_s", done.samples_per_s, done.step)
    curves.add_scalar("speed/data_share", done.data_share, done.step)
    curves.add_scalar("speed/augment_share", done.augment_share, done.step)
    curves.add_scalar("learning_rate", done.learning_rate, done.step)
