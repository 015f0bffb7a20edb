"""The steps of a job as commands: plan, segment, join, check. ``convert`` is all of them in one."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import click

from ..clip import ReadingSettings, packet_hash
from ..errors import BadInputError
from ..events import Event, Finished
from ..face.faces_file import FacesFile
from ..on_device.choice import choose_places
from ..options import (
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
    unmarked_option,
    workers_option,
)
from ..progress import Format, show
from ..provenance.credentials import Signing
from ..settings import AnalysisSettings, ConversionSettings
from ..swap.networks import Networks
from ..video.join import check_part
from .drawers import planned_drawers
from .finish import already_done
from .folder import JobFolder, folder_of, open_job
from .plan import Plan
from .planning import make_plan
from .run import Stages, check_consents, do_segments, finish
from .segment_range import parse_segments


@click.command("plan")
@click.argument("clip", type=PATH)
@click.argument("model", type=PATH, required=False)
@click.option("-o", "--output", type=PATH, required=True, help="The film that is to be made.")
@click.option("--faces", type=PATH, help="A faces file of CLIP; without it segments are analysed.")
@click.option("--plan", "plan_path", type=PATH, help="The plan to write; OUTPUT.job/plan.json without it.")
@swap_option
@conversion_options
@analysis_options
@ranged_reading_options
@device_option
@rights_option
@unmarked_option
@overwrite_option
def plan_command(
    clip: Path,
    model: Path | None,
    output: Path,
    faces: Path | None,
    plan_path: Path | None,
    swaps: tuple[str, ...],
    settings: ConversionSettings,
    analysis: AnalysisSettings,
    reading: ReadingSettings,
    device: str,
    rights_stated: bool,
    unmarked_because: str | None,
    overwrite: bool,
) -> None:
    """Plan the conversion of CLIP, for "segment" and "join". Only packets are read."""
    chosen = choose_places(device)
    plan = make_plan(
        clip,
        models_of(model, swaps),
        output,
        faces=faces,
        conversion=replace(settings, unmarked_because=unmarked_because),
        analysis=analysis,
        reading=reading,
        place=chosen.place,
        rights_stated=rights_stated,
        overwrite=overwrite,
    )
    folder = JobFolder(folder_of(output) if plan_path is None else plan_path.parent, plan_path)
    with folder.locked(keep=True):
        if folder.plan_path.exists():
            before = Plan.read(folder.plan_path)
            if overwrite and before.id != plan.id:
                folder.begin_anew(keep_seen=before.analysis_id == plan.analysis_id)
            elif not overwrite:
                plan.check_same(before, folder.plan_path)
        plan.write(folder.plan_path)
    for line in [*chosen.news(), *map(str, plan.models), *_summary(plan), *plan.warnings, *plan.losses]:
        click.echo(f"crossface: {line}", err=True)
    click.echo(folder.plan_path)


def _summary(plan: Plan) -> list[str]:
    seconds = [
        float((segment.end_pts - segment.start_pts) * plan.time_base)
        for segment in plan.segments
        if segment.start_pts is not None and segment.end_pts is not None
    ]
    lengths = f", {min(seconds):.1f} to {max(seconds):.1f} s" if seconds else ""
    return [
        f"{plan.frames} frames in {len(plan.segments)} segments{lengths}",
        f"for {plan.fingerprint.get('gpu', 'the CPU')}",
        *(
            f"stream {stream.index}: {stream.type} {stream.codec}, {stream.packets} packets, "
            f"{stream.size_bytes} bytes"
            for stream in plan.streams
        ),
        f"about {plan.disk_bytes / 1e6:.0f} MB of disk",
    ]


@click.command("segment")
@click.argument("plan", type=PATH)
@click.option("--seg", "numbers", required=True, metavar="K|A-B", help="Segments: 7, 0-9, 1-9:3 or 1,4,7.")
@click.option(
    "--stage", type=click.Choice(["analyze", "convert", "all"]), default="all", help="What to do with them."
)
@device_option
@workers_option
@progress_option
def segment_command(
    plan: Path, numbers: str, stage: Stages, device: str, workers: int, progress: Format
) -> None:
    """Do segments of PLAN: analyse and convert them. What is done already is left."""
    job, folder = open_job(plan)
    chosen = parse_segments(numbers, len(job.segments))

    def events() -> Generator[Event]:
        yield from do_segments(job, folder, chosen, stage, device=device, workers=workers)
        frames = sum(job.segments[number].frames for number in chosen)
        sidecars = [folder.sidecar(number, job) for number in chosen]
        faces = sum(sidecar.faces for sidecar in sidecars if sidecar is not None)
        yield Finished(plan, frames, faces)

    show(events(), progress)


@click.command("join")
@click.argument("plan", type=PATH)
@signing_options
@overwrite_option
@progress_option
def join_command(plan: Path, signing: Signing, overwrite: bool, progress: Format) -> None:
    """Join the finished segments of PLAN into its output, and sign that."""
    job, folder = open_job(plan)

    def events() -> Generator[Event]:
        with folder.locked(keep=True), folder.refusing(job, remember=True):
            done = None if overwrite else already_done(job, folder)
            if done is not None:
                yield done
            else:
                _check_source(job)
                check_consents(job)
                yield from finish(job, folder, signing.signer(), overwrite=overwrite)

    show(events(), progress)


@click.command("check")
@click.argument("plan", type=PATH)
def check_command(plan: Path) -> None:
    """Check that source, models and finished segments are what PLAN and its work say."""
    job, folder = open_job(plan)
    _check_source(job)
    with Networks() as networks:
        planned_drawers(job, networks, None, threads=1)
    if job.faces is not None:
        FacesFile(job.faces)
    finished = [folder.sidecar(segment.number, job) for segment in job.segments]
    for sidecar in finished:
        if sidecar is not None:
            check_part(sidecar.part)
    seen = sum(folder.is_seen(segment.number) for segment in job.segments)
    converted = sum(sidecar is not None for sidecar in finished)
    done = already_done(job, folder)
    state = "joined" if done else f"{seen} analysed, {converted} converted, not joined"
    click.echo(f"{plan}: {len(job.segments)} segments: {state}")


def _check_source(plan: Plan) -> None:
    """Raises BadInputError where a packet of the source is another than when it was planned."""
    plan.check_source()
    if packet_hash(plan.source) != plan.source_hash:
        raise BadInputError(f"{plan.source}: is not the clip that was planned: plan again")


job_commands: list[click.Command] = [plan_command, segment_command, join_command, check_command]
