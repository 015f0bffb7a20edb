"""``crossface compare``: any options of ``convert``, each with several values, as a sheet of alternatives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import click

from .clip import ReadingSettings
from .compare import Alternative, compare
from .errors import UsageError
from .options import (
    PATH,
    analysis_options,
    conversion_options,
    device_option,
    progress_option,
    ranged_reading_options,
)
from .progress import Format, show
from .settings import AnalysisSettings, ConversionSettings

# More are no sheet that anybody looks at.
_MOST_ALTERNATIVES = 60
_ON, _OFF = ("on", "yes", "true"), ("off", "no", "false")


@click.command("convert", add_help_option=False)
@click.option("--model", type=PATH)
@conversion_options
@analysis_options
def _settings_of(
    model: Path, settings: ConversionSettings, analysis: AnalysisSettings
) -> tuple[Path, ConversionSettings, AnalysisSettings]:
    """What options of ``convert`` stand for."""
    return model, settings, analysis


def alternatives_of(model: Path, axes: Sequence[str]) -> list[Alternative]:
    """Every combination of the values of all axes.

    Args:
        model: that draws, where no axis is called ``model``.
        axes: ``OPTION=VALUE,VALUE``, of options of ``convert``; a flag is ``on`` or ``off``.

    Raises:
        UsageError: an axis that is none, an option that there is not, or a value that it does not take.
    """
    parsed = [_axis(axis) for axis in axes]
    names = [name for name, _ in parsed]
    if len(set(names)) < len(names):
        raise UsageError("--grid: each option is named once, with all its values: colour=none,mean")
    count = 1
    for _, values in parsed:
        count *= len(values)
    if count > _MOST_ALTERNATIVES:
        raise UsageError(f"--grid: {count} alternatives are more than a sheet shows ({_MOST_ALTERNATIVES})")
    found = []
    for combination in itertools.product(*(values for _, values in parsed)):
        chosen = list(zip(names, combination, strict=True))
        arguments = [f"--model={model}"]
        for name, value in chosen:
            arguments += _argument(name, value)
        try:
            path, settings, analysis = _settings_of.main(
                arguments, prog_name="convert", standalone_mode=False
            )
        except click.UsageError as error:
            raise UsageError(f"--grid: {error.format_message()}") from error
        varied = [f"{name} {value}" for name, value in chosen if len(dict(parsed)[name]) > 1]
        found.append(Alternative("  ".join(varied) or "converted", path, settings, analysis))
    return found


def _axis(text: str) -> tuple[str, list[str]]:
    name, equals, values = text.partition("=")
    if not (name and equals and all(values.split(","))):
        raise UsageError(f"--grid {text}: give an option of convert and its values, as colour=none,mean")
    return name, values.split(",")


def _argument(name: str, value: str) -> list[str]:
    wanted = f"--{name.replace('_', '-')}"
    option = next((each for each in _settings_of.params if wanted in each.opts), None)
    if not isinstance(option, click.Option):
        known = ", ".join(sorted(each.opts[0].lstrip("-") for each in _settings_of.params))
        raise UsageError(f"--grid {name}: convert has no such option; it has {known}")
    if not option.is_flag:
        return [f"{wanted}={value}"]
    if value.lower() not in (*_ON, *_OFF):
        raise UsageError(f"--grid {name}={value}: is on or off")
    if value.lower() in _ON:
        return [wanted]
    return [option.secondary_opts[0]] if option.secondary_opts else []


@click.command("compare")
@click.argument("clip", type=PATH)
@click.argument("model", type=PATH)
@click.argument("axes", metavar="[OPTION=A,B]...", nargs=-1)
@click.option(
    "--grid", "first_axes", multiple=True, metavar="OPTION=A,B", help="Any option of convert, and its values."
)
@click.option("-o", "--output", type=PATH, default=Path("compare.png"), help="The PNG to write.")
@click.option("--at", metavar="FRAME,FRAME", help="Frames to show, counted from 0; else some with a face.")
@click.option("--rows", type=click.IntRange(1, 50), default=3, help="Frames shown.")
@click.option("--size", "cell_px", type=click.IntRange(32, 2048), default=240, help="Of each face, px.")
@click.option("--faces", type=PATH, help="A faces file of CLIP; without it CLIP is analysed.")
@ranged_reading_options
@device_option
@progress_option
def compare_command(
    clip: Path,
    model: Path,
    axes: tuple[str, ...],
    first_axes: tuple[str, ...],
    output: Path,
    at: str | None,
    rows: int,
    cell_px: int,
    faces: Path | None,
    reading: ReadingSettings,
    device: str,
    progress: Format,
) -> None:
    """Draw faces of CLIP as convert would make them, with every combination of some of its options.

    crossface compare shot.mov ben.onnx --grid colour=none,mean,mkl codec=libx264 draws three pictures a
    frame beside the clip's own. An option with one value holds for all of them.
    """
    try:
        frames = [int(number) for number in at.split(",")] if at else []
    except ValueError as error:
        raise UsageError(f"--at {at}: give numbers of frames, as 10,50") from error
    events = compare(
        clip,
        alternatives_of(model, [*first_axes, *axes]),
        output,
        at=frames,
        rows=rows,
        faces=faces,
        reading=reading,
        device=device,
        cell_px=cell_px,
    )
    show(events, progress)
