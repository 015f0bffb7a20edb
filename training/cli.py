"""The sub-commands that extract, train and export."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..engine.clip import ReadingSettings
from ..engine.errors import UsageError
from ..engine.options import PATH, overwrite_option, reading_options
from ..engine.progress import StatusLine
from .needs import need
from .train_commands import pretrain_command, train_command


@click.command("extract")
@click.argument("clips", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the faceset.")
@click.option("--every", type=click.IntRange(1, 100000), default=1, help="Keep every n-th frame.")
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="FROM-TO",
    help="Seconds of each clip to keep, as 0-2.5 or 9.5-.",
)
@click.option("--all-faces", is_flag=True, help="Keep every face of a frame, not only the largest.")
@reading_options
@overwrite_option
def extract_command(
    clips: tuple[Path, ...],
    output: Path,
    every: int,
    ranges: tuple[str, ...],
    all_faces: bool,
    reading: ReadingSettings,
    overwrite: bool,
) -> None:
    """Cut aligned faces out of CLIPS of one person."""
    from .extract import extract

    events = extract(
        clips,
        output,
        every=every,
        ranges_s=[_range(text) for text in ranges],
        largest_only=not all_faces,
        reading=reading,
        overwrite=overwrite,
    )
    with StatusLine() as say, closing(events):
        faces = 0
        for event in events:
            faces = event.faces
            say(f"{event.clip.name}: frame {event.frame} of {event.of or '?'}, {faces} faces")
    click.echo(f"{output}: {faces} faces")


@click.command("export")
@click.argument("model", type=PATH)
@click.option("--to", type=click.Choice(["a", "b"]), default="b", help="Whose face is drawn.")
@click.option("-o", "--output", type=PATH, required=True, help="The ONNX file to write.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "fp16-storage", "int8"]),
    default="fp32",
    help="fp16-storage halves the file and computes in fp32; int8 is the fastest on a processor.",
)
@click.option("--calibrate", type=PATH, metavar="FACESET", help="For int8: faces that it will be given.")
@click.option(
    "--form",
    type=click.Choice(["auto", "direct", "winograd"]),
    default="auto",
    help="direct: plain convolutions, for GPUs. winograd: fewer products and a larger file, for processors.",
)
@click.option("--morph", type=float, default=1.0, help="liae: 0..1, how much the face becomes the other's.")
@click.option("--consent", help="Reference to the consent of the person drawn; stored in the model.")
@overwrite_option
def export_command(model: Path, **options: Any) -> None:
    """Write encoder and one decoder of MODEL as one ONNX file."""
    need("torch", "export")
    need("onnx", "export")
    from .export import export

    click.echo(export(model, **options))


commands: list[click.Command] = [extract_command, train_command, pretrain_command, export_command]


def _range(text: str) -> tuple[float, float]:
    start, dash, end = text.partition("-")
    try:
        span = float(start or 0), float(end) if end else float("inf")
    except ValueError:
        span = (0.0, 0.0)
    if not dash or not span[0] < span[1]:
        raise UsageError(f"--range {text}: give seconds as FROM-TO, such as 0-2.5, or 9.5- to the end")
    return span
