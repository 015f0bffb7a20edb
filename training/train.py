"""The training loop: two people, one encoder, a decoder each.

Everything random in a step follows from (seed, step), so a run that was
stopped and continued gives, with the same options, the same bits as one that
was not. That holds for ``steps``; with ``minutes`` the learning rate follows
the clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ..engine.device import Choice, choose
from ..engine.errors import BusyError, CrossfaceError, DeviceUnavailableError, OutputError, UsageError
from ..engine.events import Warned
from .augment import Batch, augment
from .checkpoint import CHECKPOINT_NAME, MODEL_NAME, Learner, ModelCard, check_same
from .faceset import Faceset
from .loader import DeviceTime, Loader
from .losses import face_loss
from .models import PRESETS, Preset
from .preview import write_preview
from .seeds import generator
from .store import FaceStore, load_store

WARM_UP_STEPS = 100
DECAY_FROM = 0.6
FINAL_RATE = 0.02
GRADIENT_NORM = 1.0
CURVES_EVERY_STEPS = 20

# Streams of random numbers that must not coincide.
_ORDER_A, _ORDER_B, _CHANGE_A, _CHANGE_B = range(4)


class DivergedError(CrossfaceError):
    """Loss or gradient became infinite or not a number."""


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
class TrainingDone:
    """The run is at its end; ``elapsed_s`` counts all runs of this model."""

    step: int
    elapsed_s: float


TrainingEvent = Warned | StepDone | CheckpointWritten | PreviewWritten | TrainingDone


@dataclass(frozen=True)
class Budget:
    """How long to train; what is reached first counts.

    Attributes:
        steps: of all runs of the model together; None for no limit.
        seconds: of all runs of the model together; None for no limit.
    """

    steps: int | None
    seconds: float | None

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share that is done, 0..1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = elapsed_s / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))


def rate_factor(step: int, progress: float) -> float:
    """The learning rate over its peak: linear warm-up, a plateau, and half a cosine down to 2 %."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    late = max(0.0, progress - DECAY_FROM) / (1 - DECAY_FROM)
    return warm_up * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * late)) / 2)


def train(
    faceset_a: Path,
    faceset_b: Path,
    model: Path,
    *,
    preset: str | Preset = "fast-128",
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    batch: int | None = None,
    learning_rate: float | None = None,
    preview_every_s: float = 60,
    checkpoint_every_s: float = 120,
    identity_a: str = "a",
    identity_b: str = "b",
    threads: int | None = None,
    device: str = "auto",
) -> Generator[TrainingEvent]:
    """Train a model, or go on with one: a generator of events.

    Closing the generator between two events writes a checkpoint first.

    Args:
        faceset_a: folder of person A.
        faceset_b: folder of person B.
        model: folder for the model; goes on where it holds a checkpoint.
        preset: the network, or its name in `PRESETS`.
        steps: stop when the model has so many steps.
        minutes: stop when the model has trained so long, over all runs.
        seed: of everything random.
        batch: faces of each person in a step; the preset's where None.
        learning_rate: at its peak; the preset's where None.
        preview_every_s: wall time between preview sheets.
        checkpoint_every_s: wall time between checkpoints.
        identity_a: name of person A, for the exported model.
        identity_b: name of person B.
        threads: for PyTorch on the CPU; as it is where None.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for the better one that is here; see `choose`.
            Where that is the CPU, the first event tells why.

    Raises:
        UsageError: no end given, an unknown preset, or a model of another preset or other faces.
        InputMissingError, BadInputError: a faceset or a checkpoint that cannot be used.
        DeviceUnavailableError: no such device.
        BusyError: another run trains this model.
        OutputError: the folder cannot be written; the last checkpoint stays.
        DivergedError: the loss is no number any more; the last checkpoint stays.
    """
    if steps is None and minutes is None:
        raise UsageError("training needs an end: give --steps or --minutes")
    if any(value is not None and value <= 0 for value in (steps, minutes, batch, learning_rate, threads)):
        raise UsageError("steps, minutes, batch, learning rate and threads must be above zero")
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise UsageError(f"{preset}: no such preset: there are {', '.join(PRESETS)}")
        preset = PRESETS[preset]
    budget = Budget(steps, None if minutes is None else minutes * 60)
    choice = choose(device)
    place = _device(device, choice)
    sets = Faceset.load(Path(faceset_a)), Faceset.load(Path(faceset_b))
    wanted = ModelCard.new(preset, (identity_a, identity_b), (sets[0].data_hash, sets[1].data_hash))
    model = Path(model)
    if device == "auto" and place.type == "cpu":
        why = _NO_CUDA if choice.devices else choice.reason
        yield Warned(f"training on the CPU: {why}; or give --device cpu")
    with _only_run(model), _threads(threads):
        if (model / MODEL_NAME).exists():
            card = ModelCard.read(model)
            check_same(card, wanted, model)
        else:
            card = wanted
            card.write(model)
        learner = Learner(card.preset, place, seed)
        if (model / CHECKPOINT_NAME).exists():
            learner.load(model)
        stores = load_store(sets[0], card.preset, place), load_store(sets[1], card.preset, place)
        batch = batch or card.preset.batch
        with Loader(stores, batch, seed, (_ORDER_A, _ORDER_B), place) as loader:
            run = _Run(
                learner=learner,
                stores=stores,
                loader=loader,
                budget=budget,
                seed=seed,
                batch=batch,
                learning_rate=learning_rate or card.preset.learning_rate,
                device=place,
            )
            yield from _events(run, model, preview_every_s, checkpoint_every_s)


@dataclass
class _Run:
    """What one call of `train` holds on to."""

    learner: Learner
    stores: tuple[FaceStore, FaceStore]
    loader: Loader
    budget: Budget
    seed: int
    batch: int
    learning_rate: float
    device: torch.device

    @property
    def preset(self) -> Preset:
        preset: Preset = self.learner.network.preset
        return preset

    def progress(self) -> float:
        return self.budget.progress(self.learner.step, self.learner.elapsed_s)

    def step(self) -> StepDone:
        learner, started = self.learner, time.monotonic()
        rate = self.learning_rate * rate_factor(learner.step, self.progress())
        for group in learner.optimiser.param_groups:
            group["lr"] = rate
        pixels_a, pixels_b = self.loader.take(learner.step)
        with DeviceTime(self.device) as augmenting:
            faces_a = self._faces(pixels_a, self.stores[0].span, _CHANGE_A)
            faces_b = self._faces(pixels_b, self.stores[1].span, _CHANGE_B)

        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=_has_bfloat16(self.device)):
            both = torch.cat((faces_a.input, faces_b.input)).contiguous(memory_format=torch.channels_last)
            code_a, code_b = learner.network.encoder(both).split(self.batch)
            loss_a = face_loss(learner.network.decoder_a(code_a), faces_a)
            loss_b = face_loss(learner.network.decoder_b(code_b), faces_b)
        learner.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss_a + loss_b)
        norm = torch.nn.utils.clip_grad_norm_(learner.network.parameters(), GRADIENT_NORM)
        self._check_finite(loss_a, loss_b, norm)
        learner.optimiser.step()
        learner.step += 1
        learner.update_average()

        took = time.monotonic() - started
        learner.elapsed_s += took
        return StepDone(
            step=learner.step,
            progress=self.progress(),
            loss_a=loss_a.item(),
            loss_b=loss_b.item(),
            samples_per_s=2 * self.batch / took,
            data_share=self.loader.waited_s / took,
            augment_share=augmenting.seconds() / took,
            learning_rate=rate,
        )

    def _faces(self, pixels: Tensor, span: float, change: int) -> Batch:
        random = generator(self.seed, change, self.learner.step, device=self.device)
        return augment(pixels, span, self.preset.size_px, random)

    def _check_finite(self, *values: Tensor) -> None:
        if not all(bool(torch.isfinite(value)) for value in values):
            raise DivergedError(
                f"training diverged in step {self.learner.step + 1}: the last checkpoint is whole; "
                f"go on from it with a lower rate, such as --learning-rate {self.learning_rate / 2:g}"
            )


def _events(
    run: _Run, model: Path, preview_every_s: float, checkpoint_every_s: float
) -> Generator[TrainingEvent]:
    learner, preview = run.learner, model / "preview.png"
    saved_step = learner.step
    previewed_at = saved_at = time.monotonic()
    # Points of a run that was killed after its last checkpoint are superseded.
    curves = SummaryWriter(str(model / "tensorboard"), purge_step=learner.step)
    try:
        while run.progress() < 1:
            done = run.step()
            _draw_curves(curves, done)
            yield done
            now = time.monotonic()
            if now - previewed_at >= preview_every_s:
                yield PreviewWritten(learner.step, write_preview(preview, learner.average, *run.stores))
                previewed_at = time.monotonic()
            if now - saved_at >= checkpoint_every_s:
                written = learner.save(model)
                saved_step, saved_at = learner.step, time.monotonic()
                yield CheckpointWritten(learner.step, written)
            # Previews and checkpoints are part of a budget of minutes.
            learner.elapsed_s += time.monotonic() - now
        if learner.step > saved_step or not (model / CHECKPOINT_NAME).exists():
            written = learner.save(model)
            saved_step = learner.step
            yield CheckpointWritten(learner.step, written)
        yield PreviewWritten(learner.step, write_preview(preview, learner.average, *run.stores))
        yield TrainingDone(learner.step, learner.elapsed_s)
    except GeneratorExit:
        if learner.step > saved_step:
            learner.save(model)
        raise
    finally:
        curves.close()


def _draw_curves(curves: SummaryWriter, done: StepDone) -> None:
    if done.step % CURVES_EVERY_STEPS:
        return
    curves.add_scalar("loss/a", done.loss_a, done.step)
    curves.add_scalar("loss/b", done.loss_b, done.step)
    curves.add_scalar("speed/samples_per_s", done.samples_per_s, done.step)
    curves.add_scalar("speed/data_share", done.data_share, done.step)
    curves.add_scalar("learning_rate", done.learning_rate, done.step)


_NO_CUDA = "this PyTorch cannot use CUDA: install one that can"


def _device(asked: str, choice: Choice) -> torch.device:
    if choice.devices and torch.cuda.is_available():
        return torch.device("cuda", choice.devices[0].index)
    if choice.devices and asked != "auto":
        raise DeviceUnavailableError(f"--device {asked}: {_NO_CUDA}; or give --device cpu")
    return torch.device("cpu")


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16; CPUs without it only emulate it, slowly."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            has: bool = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu._is_avx512_bf16_supported()
    return has


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _only_run(model: Path) -> Iterator[None]:
    """Make the folder and lock it; the system lets go of the lock even if we are killed."""
    try:
        model.mkdir(parents=True, exist_ok=True)
        folder = os.open(model, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"{model}: cannot be made ({error.strerror}): give another folder") from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BusyError(f"{model}: another run trains this model: wait for it, or stop it") from error
        yield
    finally:
        os.close(folder)
