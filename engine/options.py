"""Options that several commands share, gathered into the settings that they stand for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from .analyze import AnalysisSettings
from .clip import OnMissing, ReadingSettings
from .errors import UsageError
from .progress import FORMATS

PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


class _Rate(click.ParamType[Fraction]):
    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 100000:
            self.fail(f"{value} is no frame rate: write 25 or 24000/1001", param, ctx)
        return rate


overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
progress_option = click.option(
    "--progress", type=click.Choice(FORMATS), default="auto", help="auto: a bar where stderr is a terminal."
)

_RANGE = (
    click.option("--in", "start", metavar="FRAME", help="First frame: 100, 12.5s or 01:00:10:12."),
    click.option("--out", "end", metavar="FRAME", help="Last frame (or, in seconds, where to stop)."),
)
_READING = (
    click.option("--tolerate-damage", is_flag=True, help="Go on over damage; it is reported as warnings."),
    click.option("--deinterlace", is_flag=True, help="Interlaced: make whole pictures of it (bwdif)."),
    click.option("--as-progressive", is_flag=True, help="Interlaced only by its flags: take it as it is."),
    click.option("--fields", is_flag=True, help="Interlaced: swap in each field, keep it interlaced."),
    click.option("--fps", type=_Rate(), help="Rate of a sequence (24), or of a film without times."),
    click.option("--video-stream", type=click.IntRange(0), help="Which video, where there are several."),
    click.option("--frames", metavar="1001-1100", help="Pictures of a sequence; all without it."),
    click.option(
        "--on-missing",
        type=click.Choice(get_args(OnMissing)),
        default="error",
        help="Where a sequence lacks a picture: stop, repeat the last one, or black.",
    ),
    click.option(
        "--colorspace",
        help="Of a sequence: display, scene-linear, cineon, or a name in the OpenColorIO configuration.",
    ),
    click.option("--ocio-config", help="A file, or ocio://default."),
    click.option("--channels", metavar="LAYER", help="The layer of an EXR sequence that is the picture."),
)
_ANALYSIS = (
    click.option(
        "--faces-of",
        "select",
        type=click.Choice(["largest", "all"]),
        default="largest",
        help="Which faces are swapped: the largest person of each shot, or all.",
    ),
    click.option("--detect-every", type=click.IntRange(1, 60), default=5, help="Frames per search."),
    click.option(
        "--detector-px", type=click.IntRange(64, 4096), default=640, help="Long side the detector sees."
    ),
)


def _gathered(
    options: tuple[Callable[..., Any], ...], name: str, make: Callable[..., object]
) -> Callable[[Command], Command]:
    """A decorator that gives a command ``options`` and passes on one argument made of them."""

    def decorate(command: Command) -> Command:
        names: list[str] = []

        @functools.wraps(command)
        def with_settings(*args: Any, **values: Any) -> Any:
            own = {key: values.pop(key) for key in names}
            return command(*args, **values, **{name: make(**own)})

        decorated: Any = with_settings
        for option in reversed(options):
            decorated = option(decorated)
            names.append(decorated.__click_params__[-1].name)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _reading_settings(
    *, deinterlace: bool, as_progressive: bool, fields: bool, **others: Any
) -> ReadingSettings:
    chosen = {"deinterlace": deinterlace, "as_progressive": as_progressive, "fields": fields}
    modes = [mode for mode, wanted in chosen.items() if wanted]
    if len(modes) > 1:
        raise UsageError("--deinterlace, --as-progressive and --fields exclude each other")
    return ReadingSettings(interlaced=modes[0] if modes else "refuse", **others)  # type: ignore[arg-type]


reading_options = _gathered(_READING, "reading", _reading_settings)
ranged_reading_options = _gathered(_RANGE + _READING, "reading", _reading_settings)
analysis_options = _gathered(_ANALYSIS, "analysis", AnalysisSettings)
