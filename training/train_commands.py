"""The sub-commands that train, and what they have in common."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..engine.cli import Stopped
from ..engine.events import Warned
from ..engine.memory import keep_large_blocks
from ..engine.options import PATH, device_option
from ..engine.progress import StatusLine, warn
from .needs import need
from .presets import PRESETS

if TYPE_CHECKING:
    from .events import TrainingEvent

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-o", "--output", type=PATH, required=True, help="Folder of the model; training goes on in it."
    ),
    click.option("--preset", type=click.Choice(list(PRESETS)), default="fast-128", help="The network."),
    click.option("--steps", type=click.IntRange(1), help="Stop at so many steps, over all runs."),
    click.option(
        "--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so long, over all runs."
    ),
    click.option(
        "--until-plateau",
        is_flag=True,
        help="Stop some time after held-out faces have stopped getting better.",
    ),
    click.option(
        "--hold-out/--no-hold-out",
        default=True,
        help="Keep one face in twenty from training, to measure with; of large enough facesets.",
    ),
    click.option(
        "--loss",
        "changed_losses",
        multiple=True,
        metavar="NAME=NUMBER",
        help="What counts how much, such as code-moments=0.1; a wrong name lists all.",
    ),
    click.option(
        "--perceptual-weights", type=PATH, metavar="FILE", help="Of LPIPS, for --loss perceptual=NUMBER."
    ),
    click.option("--batch", type=click.IntRange(1), help="Faces of each person in a pass."),
    click.option("--accumulate", type=click.IntRange(1), default=1, help="Passes to a step."),
    click.option(
        "--average/--no-average",
        default=True,
        help="Draw with a moving average of the weights.",
    ),
    click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="At its peak."),
    click.option(
        "--keep", type=click.IntRange(1), default=2, help="Checkpoints that stay, with the last one."
    ),
    click.option(
        "--checkpoint-every", "checkpoint_every_s", type=click.FloatRange(1), default=120, help="Seconds."
    ),
    click.option("--preview-every", "preview_every_s", type=click.FloatRange(1), default=60, help="Seconds."),
    click.option("--seed", type=click.IntRange(0), default=0),
    device_option,
)


def _training_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("train")
@click.argument("faceset_a", type=PATH)
@click.argument("faceset_b", type=PATH)
@click.option("--base", type=PATH, metavar="MODEL", help="Begin with the weights of what pretrain made.")
@click.option("--identity-a", default="a", help="Name of person A, for the exported model.")
@click.option("--identity-b", default="b", help="Name of person B.")
@click.option(
    "--list-presets",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _list_presets(context) if asked else None,
    help="What the networks cost; nothing else is done.",
)
@click.option("--find-rate", is_flag=True, help="Only try ever higher learning rates, and suggest one.")
@click.option(
    "--status",
    type=PATH,
    metavar="MODEL",
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, model: _show_status(context, model),
    help="How the training of MODEL is doing; nothing else is done.",
)
@_training_options
def train_command(faceset_a: Path, faceset_b: Path, output: Path, *, find_rate: bool, **options: Any) -> None:
    """Train one encoder and two decoders on FACESET_A and FACESET_B."""
    need("torch", "training")
    from .train import train

    options = _with_losses(options)
    if find_rate:
        _find_rate(faceset_a, faceset_b, options)
    else:
        _follow(train(faceset_a, faceset_b, output, **options), output)


@click.command("pretrain")
@click.argument("facesets", type=PATH, nargs=-1, required=True)
@_training_options
def pretrain_command(facesets: tuple[Path, ...], output: Path, **options: Any) -> None:
    """Train a base on the FACESETS of many people, for "train --base"."""
    need("torch", "training")
    from .train import pretrain

    _follow(pretrain(facesets, output, **_with_losses(options)), output)


def _with_losses(options: dict[str, Any]) -> dict[str, Any]:
    from .losses import loss_settings

    changed = options.pop("changed_losses")
    return {**options, "losses": loss_settings(changed)}


def _list_presets(context: click.Context) -> None:
    need("torch", "training")
    from .cost import cost

    click.echo("preset          trained  exported   a face")
    for name, preset in PRESETS.items():
        told = cost(preset)
        click.echo(
            f"{name:<14}{told.parameters / 1e6:7.1f} M {told.drawing_parameters / 1e6:7.1f} M "
            f"{told.gflops:6.1f} GFLOP"
        )
    context.exit()


def _follow(training: Generator[TrainingEvent], output: Path) -> None:
    """Shows a run's events until its end or a signal."""
    from .world import rank_here

    keep_large_blocks()
    with StatusLine() as say, closing(training) as events, _between_events() as signals:
        for event in events:
            if isinstance(event, Warned):
                warn(event)
            elif rank_here() == 0:
                say(_line(event))
            if signals:
                # Closing it writes a checkpoint, so that a stop costs nothing.
                events.close()
                raise Stopped(signals[0])
    if rank_here() == 0:
        click.echo(output)


def _find_rate(faceset_a: Path, faceset_b: Path, options: dict[str, Any]) -> None:
    from .rate_search import suggested
    from .train import find_rate

    # The others say when to stop and what to keep.
    names = "preset", "base", "seed", "batch", "accumulate", "losses", "perceptual_weights", "device"
    with StatusLine() as say:
        tried = []
        for each in find_rate(faceset_a, faceset_b, **{name: options[name] for name in names}):
            tried.append(each)
            say(f"rate {each.rate:.2e}: loss {each.loss:.4f}")
    click.echo(f"--learning-rate {suggested(tried):g}")


def _show_status(context: click.Context, model: Path | None) -> None:
    if model is None:
        return
    need("torch", "training")
    from .status import Status, is_training

    click.echo(f"{model}: {'in training' if is_training(model) else 'not in training now'}")
    click.echo(Status.read(model))
    context.exit()


@contextmanager
def _between_events() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of breaking off in the middle of a step; a second one does."""
    received: list[int] = []

    def collect(number: int, frame: FrameType | None) -> None:
        if received:
            raise Stopped(number)
        received.append(number)

    before = {number: signal.signal(number, collect) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(event: TrainingEvent) -> str:
    from . import events

    match event:
        case events.StepDone():
            return (
                f"step {event.step}, {event.progress:.1%}: loss A {event.loss_a:.4f}, B {event.loss_b:.4f}, "
                f"{event.samples_per_s:.1f} faces/s, waiting for faces {event.data_share:.1%}, "
                f"augmenting {event.augment_share:.0%}"
            )
        case events.CheckpointWritten() | events.PreviewWritten():
            return f"step {event.step}: wrote {event.path}"
        case events.Measured():
            held_out = event.held_out
            best = ", the best so far" if event.best else ""
            dssim = f"A {held_out.dssim_a:.4f}, B {held_out.dssim_b:.4f}"
            return f"step {held_out.step}: held-out DSSIM {dssim}{best}"
        case events.RolledBack():
            return (
                f"step {event.step}: diverged; going on from step {event.to_step} "
                f"at {event.rate_scale:g} of the learning rate"
            )
        case events.PlateauReached():
            return f"step {event.step}: no better any more; the rate falls until step {event.end_step}"
        case events.TrainingDone():
            return f"step {event.step}: done after {event.elapsed_s / 60:.1f} min"
    return str(event)
