"""Training, from its options to its events: two people, one encoder, a decoder each.

Everything random in a step follows from (seed, step), so a run that was
stopped and continued gives, with the same options, the same bits as one that
was not. That holds for ``steps``; with ``minutes`` the learning rate follows
the clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ..engine.device_choice import Choice, choose
from ..engine.errors import BusyError, DeviceUnavailableError, OutputError, UsageError
from ..engine.events import Warned
from .checkpoint import CHECKPOINT_NAME
from .course import Pace, beside, in_charge
from .events import TrainingEvent
from .faceset import Faceset, joined
from .first_weights import some_faces
from .held_out import LEAST_FACES, can_spare, split
from .learner import Learner
from .losses import DEFAULT_LOSSES, LossSettings
from .model_card import MODEL_NAME, ModelCard, check_same
from .perceptual import Perceptual
from .presets import PRESETS, Preset
from .rate_search import Tried, search_rate
from .run import Run
from .schedule import Budget
from .store import FaceStore, load_store
from .world import World, joined_world, local_rank_here, rank_here

_NO_CUDA = "this PyTorch cannot use CUDA: install one that can"


def train(
    faceset_a: Path | Faceset,
    faceset_b: Path | Faceset,
    model: Path,
    *,
    preset: str | Preset = "fast-128",
    base: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    batch: int | None = None,
    accumulate: int = 1,
    average: bool = True,
    learning_rate: float | None = None,
    until_plateau: bool = False,
    hold_out: bool = True,
    measure_every_steps: int = 250,
    preview_every_s: float = 60,
    checkpoint_every_s: float = 120,
    keep: int = 2,
    losses: LossSettings = DEFAULT_LOSSES,
    perceptual_weights: Path | None = None,
    identity_a: str = "a",
    identity_b: str = "b",
    threads: int | None = None,
    device: str = "auto",
) -> Generator[TrainingEvent]:
    """Train a model, or go on with one: a generator of events.

    Started by ``torchrun``, all its processes train one model, each with a batch of its own; the first one
    writes and tells. Closing the generator between two events writes a checkpoint first.

    Args:
        faceset_a: of person A; a folder, or loaded already.
        faceset_b: of person B.
        model: folder for the model; goes on where it holds a checkpoint.
        preset: the network, or its name in `PRESETS`.
        base: folder of a model whose weights a new model begins with; see `pretrain`.
        steps: stop when the model has so many steps.
        minutes: stop when the model has trained so long, over all runs.
        seed: of everything random.
        batch: faces of each person in a pass; the preset's where None.
        accumulate: passes to a step, for a larger batch than memory holds.
        average: draw with a moving average of the weights, which costs a little of each step; a model goes on
            as it is asked to.
        learning_rate: at its peak; the preset's where None.
        until_plateau: once held-out faces get no better, let the rate fall and stop; see `schedule`.
        hold_out: keep a few faces of each set from training, and measure with them; a model goes on as it
            began.
        measure_every_steps: between two measurements of held-out faces.
        preview_every_s: wall time between preview sheets.
        checkpoint_every_s: wall time between checkpoints.
        keep: how many checkpoints stay, the last one included.
        losses: what counts how much; a model may go on with others.
        perceptual_weights: file with the weights of LPIPS, where the losses ask for it; see `perceptual`.
        identity_a: name of person A, for the exported model.
        identity_b: name of person B.
        threads: for PyTorch on the CPU; as it is where None.
        device: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` for the better one that is here; see `choose`.
            Where that is the CPU, the first event tells why.

    Raises:
        UsageError: no end given, an unknown preset, a model of another preset or other faces, a base of
            another preset, or a plateau asked for without held-out faces.
        InputMissingError, BadInputError: a faceset or a checkpoint that cannot be used.
        DeviceUnavailableError: no such device.
        BusyError: another run trains this model.
        OutputError: the folder cannot be written; the last checkpoint stays.
        DivergedError: it diverged again and again, at lower and lower rates; the last checkpoint stays.
    """
    if steps is None and minutes is None and not until_plateau:
        raise UsageError("training needs an end: give --steps, --minutes or --until-plateau")
    counts = steps, minutes, batch, accumulate, learning_rate, threads, measure_every_steps, keep
    if any(value is not None and value <= 0 for value in counts):
        raise UsageError(
            "steps, minutes, batch, accumulate, learning rate, threads and keep must be above zero"
        )
    network = _preset(preset)
    perceptual = _perceptual(losses, perceptual_weights)
    choice = choose(device)
    place = _device(device, choice)
    sets = _faceset(faceset_a), _faceset(faceset_b)
    began = None if base is None else ModelCard.read(Path(base))
    wanted = ModelCard.new(network, (identity_a, identity_b), sets, holds_out=hold_out, base=began)
    if until_plateau and not (hold_out and can_spare(sets)):
        raise _no_plateau()
    model = Path(model)
    if device == "auto" and place.type == "cpu" and rank_here() == 0:
        why = _NO_CUDA if choice.devices else choice.reason
        yield Warned(f"training on the CPU: {why}; or give --device cpu")
    with joined_world(place) as world, _only_run(model, world), _threads(threads):
        if world.is_first:
            _begin(model, wanted)
        world.wait()
        card = ModelCard.read(model)
        if until_plateau and not card.holds_out:
            raise _no_plateau()
        trained, held_out = sets, None
        if card.holds_out and can_spare(sets):
            (trained_a, held_a), (trained_b, held_b) = map(split, sets)
            trained, held_out = (trained_a, trained_b), (held_a, held_b)
        stores = _stores(trained, card.preset, place)
        goes_on = (model / CHECKPOINT_NAME).exists()
        faces = None if goes_on or base else some_faces(stores, card.preset.size_px)
        learner = Learner(card.preset, place, seed, base, losses, averages=average, faces=faces)
        if goes_on:
            learner.load(model)
        with Run(
            learner=learner,
            stores=stores,
            held_out=None if held_out is None else _stores(held_out, card.preset, place),
            until_plateau=until_plateau,
            budget=Budget(steps, None if minutes is None else minutes * 60),
            seed=seed,
            batch=batch or card.preset.batch,
            learning_rate=learning_rate or card.preset.learning_rate,
            world=world,
            base=base,
            losses=losses,
            perceptual=perceptual,
            accumulate=accumulate,
        ) as run:
            pace = Pace(measure_every_steps, preview_every_s, checkpoint_every_s, keep)
            yield from in_charge(run, model, pace) if world.is_first else beside(run, model)


def _begin(model: Path, wanted: ModelCard) -> None:
    """Writes a new model's card, or makes sure that one that goes on is the same.

    Raises:
        UsageError: it was begun with another network or other faces.
    """
    if (model / MODEL_NAME).exists():
        check_same(ModelCard.read(model), wanted, model)
    else:
        wanted.write(model)


def pretrain(facesets: Sequence[Path], model: Path, **options: Any) -> Generator[TrainingEvent]:
    """Trains a base for others: on the faces of many people, whom both decoders learn to draw.

    What it learns of faces in general, most of all the code, is where `train` then begins.

    Args:
        facesets: folders, of a person each; the more people, the better.
        model: folder for the base, itself a model; goes on where it holds a checkpoint.
        options: as of `train`.

    Raises:
        UsageError: no faceset; or as `train`, as all its other errors.
    """
    if not facesets:
        raise UsageError("a base is learnt from facesets: give at least one")
    people = joined([Faceset.load(Path(folder)) for folder in facesets])
    yield from train(people, people, model, **options)


def find_rate(
    faceset_a: Path,
    faceset_b: Path,
    *,
    preset: str | Preset = "fast-128",
    base: Path | None = None,
    steps: int = 100,
    seed: int = 0,
    batch: int | None = None,
    accumulate: int = 1,
    losses: LossSettings = DEFAULT_LOSSES,
    perceptual_weights: Path | None = None,
    threads: int | None = None,
    device: str = "auto",
) -> Generator[Tried]:
    """Tries ever higher learning rates on a network of its own, see `rate_search`; writes nothing.

    Args: as of `train`; the rate that suits depends on all of them.

    Raises:
        UsageError, InputMissingError, BadInputError, DeviceUnavailableError: as `train`.
    """
    network = _preset(preset)
    perceptual = _perceptual(losses, perceptual_weights)
    place = _device(device, choose(device))
    sets = Faceset.load(Path(faceset_a)), Faceset.load(Path(faceset_b))
    if base is not None:
        ModelCard.new(network, ("a", "b"), sets, base=ModelCard.read(Path(base)))  # refuses another network
    stores = _stores(sets, network, place)
    faces = None if base else some_faces(stores, network.size_px)
    with (
        _threads(threads),
        Run(
            learner=Learner(network, place, seed, base, losses, faces=faces),
            stores=stores,
            held_out=None,
            until_plateau=False,
            budget=Budget(None, None),
            seed=seed,
            batch=batch or network.batch,
            learning_rate=network.learning_rate,
            world=World(0, 1, place),
            losses=losses,
            perceptual=perceptual,
            accumulate=accumulate,
        ) as run,
    ):
        yield from search_rate(run, steps)


def _perceptual(losses: LossSettings, weights: Path | None) -> Perceptual | None:
    perceptual = None if weights is None else Perceptual(Path(weights))
    if losses.perceptual and perceptual is None:
        raise UsageError("the loss perceptual needs --perceptual-weights")
    return perceptual


def _faceset(given: Path | Faceset) -> Faceset:
    return given if isinstance(given, Faceset) else Faceset.load(Path(given))


def _stores(
    sets: tuple[Faceset, Faceset], preset: Preset, place: torch.device
) -> tuple[FaceStore, FaceStore]:
    first = load_store(sets[0], preset, place)
    # A base has the same faces on both sides.
    return first, first if sets[0].data_hash == sets[1].data_hash else load_store(sets[1], preset, place)


def _preset(asked: str | Preset) -> Preset:
    if isinstance(asked, Preset):
        return asked
    if asked not in PRESETS:
        raise UsageError(f"{asked}: no such preset: there are {', '.join(PRESETS)}")
    return PRESETS[asked]


def _no_plateau() -> UsageError:
    return UsageError(
        "--until-plateau needs faces to measure with: give facesets of at least "
        f"{LEAST_FACES} faces, and a model that was not started without held-out faces"
    )


def _device(asked: str, choice: Choice) -> torch.device:
    if choice.devices and torch.cuda.is_available():
        # Processes of one machine share out its devices.
        device = choice.devices[local_rank_here() % len(choice.devices)]
        torch.cuda.set_device(device.index)
        return torch.device("cuda", device.index)
    if choice.devices and asked != "auto":
        raise DeviceUnavailableError(f"--device {asked}: {_NO_CUDA}; or give --device cpu")
    return torch.device("cpu")


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
def _only_run(model: Path, world: World) -> Iterator[None]:
    """Make the folder and lock it; the system lets go of the lock even if we are killed."""
    if not world.is_first:
        yield
        return
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
