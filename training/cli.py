"""The sub-commands that extract, train and export."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from ..engine.clip import ReadingSettings
from ..engine.errors import BadInputError, UsageError
from ..engine.options import CONSENT, PATH, overwrite_option, reading_options
from ..engine.progress import StatusLine
from .needs import need
from .train_commands import pretrain_command, train_command


@click.command("extract")
@click.argument("clips", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, required=True, help="Folder of the faceset.")
@click.option("--every", type=click.IntRange(1, 100000), default=1, help="Keep every n-th frame.")
@click.option(
    "--min-sharpness",
    type=click.FloatRange(0),
    default=0.0,
    help="Leave out softer faces: lines a face height, 35 is a sensible limit; audit prints them.",
)
@click.option("--dedupe", is_flag=True, help="Leave out faces that look just like one that is kept.")
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Keep N faces: those that differ most in pose, expression and light.",
)
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
    min_sharpness: float,
    dedupe: bool,
    keep: int | None,
    ranges: tuple[str, ...],
    all_faces: bool,
    reading: ReadingSettings,
    overwrite: bool,
) -> None:
    """Cut aligned faces out of CLIPS of one person."""
    from .extract import ExtractionEvent, FaceChoice, FacesChosen, extract

    events = extract(
        clips,
        output,
        every=every,
        ranges_s=[_range(text) for text in ranges],
        largest_only=not all_faces,
        choice=FaceChoice(min_sharpness, dedupe, keep),
        reading=reading,
        overwrite=overwrite,
    )
    with StatusLine() as say, closing(events):
        for event in events:
            if isinstance(event, ExtractionEvent):
                say(f"{event.clip.name}: frame {event.frame} of {event.of or '?'}, {event.faces} faces")
    assert isinstance(event, FacesChosen)
    left_out = [
        f"{count} {why}"
        for count, why in (
            (event.soft, "too soft"),
            (event.repeated, "near-duplicates"),
            (event.found - event.soft - event.repeated - event.kept, "chosen against"),
        )
        if count
    ]
    click.echo(f"{output}: {event.kept} faces" + (f"; left out: {', '.join(left_out)}" if left_out else ""))


@click.command("audit")
@click.argument("faceset_a", type=PATH)
@click.argument("faceset_b", type=PATH)
@click.option("-o", "--output", type=PATH, default=Path("audit"), help="Folder of audit.html and audit.json.")
@click.option("--report-only", is_flag=True, help="Exit with 0 whatever the verdict is.")
@overwrite_option
def audit_command(faceset_a: Path, faceset_b: Path, output: Path, report_only: bool, overwrite: bool) -> None:
    """Say whether FACESET_A (in the film) and FACESET_B (to be drawn) are worth training on.

    Exits with 65 if training will fail.
    """
    from .audit import AuditDone, audit

    with StatusLine() as say, closing(audit(faceset_a, faceset_b, output, overwrite=overwrite)) as events:
        for event in events:
            if not isinstance(event, AuditDone):
                say(f"{event.faceset}: face {event.face} of {event.of}")
    assert isinstance(event, AuditDone)
    judgement = event.judgement
    for finding in judgement.findings:
        if finding.level != "note":
            click.echo(f"{finding.side}: {finding.says}: {finding.do}")
    click.echo(f"{judgement.verdict}: see {event.page}")
    if judgement.verdict == "will fail" and not report_only:
        raise click.exceptions.Exit(BadInputError.exit_code)


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
@click.option("--dfm", is_flag=True, help="Write a .dfm for other tools; its name says who is drawn.")
@click.option(
    "--consent",
    type=CONSENT,
    help="Consent of the person drawn, stored in the model; what train was given without it.",
)
@click.option("--best", is_flag=True, help="Of the step that drew held-out faces best, not of the last one.")
@click.option(
    "--picture", is_flag=True, help="Show the training's last preview, with both people, in the card."
)
@overwrite_option
def export_command(model: Path, **options: Any) -> None:
    """Write encoder and one decoder of MODEL as one ONNX file, or as a DFM."""
    need("torch", "export")
    need("onnx", "export")
    from .export import export

    click.echo(export(model, **options))


@click.command("train-occlusion")
@click.argument("facesets", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, required=True, help="The ONNX file to write.")
@click.option("--steps", type=click.IntRange(20), default=3000, help="Of 16 faces.")
@click.option("--base", type=PATH, metavar="FILE", help="Go on from what this command wrote before.")
@click.option("--seed", type=click.IntRange(0), default=0)
@overwrite_option
def train_occlusion_command(
    facesets: tuple[Path, ...], output: Path, steps: int, base: Path | None, seed: int, overwrite: bool
) -> None:
    """Train what tells hands from faces, on FACESETS of several people with nothing before their faces."""
    need("torch", "training")
    need("onnx", "training")
    from .occlusion import train_occlusion

    events = train_occlusion(facesets, output, steps=steps, base=base, seed=seed, overwrite=overwrite)
    with StatusLine() as say, closing(events):
        for event in events:
            say(
                f"step {event.step} of {event.of}: loss {event.loss:.4f}, "
                f"missed {event.missed:.1%}, false alarms {event.alarms:.1%}"
            )
    click.echo(output)


commands: list[click.Command] = [
    extract_command,
    audit_command,
    train_command,
    pretrain_command,
    export_command,
    train_occlusion_command,
]


def _range(text: str) -> tuple[float, float]:
    start, dash, end = text.partition("-")
    try:
        span = float(start or 0), float(end) if end else float("inf")
    except ValueError:
        span = (0.0, 0.0)
    if not dash or not span[0] < span[1]:
        raise UsageError(f"--range {text}: give seconds as FROM-TO, such as 0-2.5, or 9.5- to the end")
    return span
