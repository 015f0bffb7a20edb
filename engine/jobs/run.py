"""A job from plan to film: what is done already stays, what is missing is made, and all is joined."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from typing import Literal

from ..errors import BusyError, ConfigurationError, UsageError
from ..events import Event, Noted, Progress, Routed, Warned
from ..on_device.choice import CPU, Chosen
from ..on_device.place import Place
from ..on_device.workbench import Workbench
from ..part_file import sweep
from ..provenance.credentials import Signer
from ..provenance.rights import check_consent
from .cores import available, network_threads
from .drawers import planned_drawers
from .faces import FaceLines, lines_of, parts_needed
from .fingerprint import differences, engines_of, fingerprint, is_of_gpu
from .finish import already_done, copy_source, join, nothing_swapped, scores_of
from .folder import JobFolder, Sidecar
from .kept import Kept
from .plan import Plan, Stage
from .segment import SegmentConverter
from .supervisor import supervise
from .watching import WatchedParts, Watcher
from .workers import Workers

Stages = Stage | Literal["all"]


def run(
    plan: Plan,
    folder: JobFolder,
    kept: Kept,
    signer: Signer,
    *,
    chosen: Chosen = CPU,
    workers: int = 1,
    executor: str | None = None,
    overwrite: bool = False,
) -> Generator[Event]:
    """Does what is missing of a job; closed or killed at any point, another run goes on from there.

    Args:
        plan: of the job.
        folder: of the job, with the plan in it; nobody else works on it.
        kept: from job to job.
        signer: of the film.
        chosen: where to work.
        workers: processes side by side; 1 works in this one.
        executor: ``dask://HOST:PORT`` of a cluster that does the segments instead.
        overwrite: replace an output that is there.

    Raises:
        CrossfaceError: as `convert`.
    """
    with folder.refusing(plan, remember=False):
        yield from _done(plan, folder, kept, signer, chosen, workers, executor, overwrite)


def finish(
    plan: Plan,
    folder: JobFolder,
    signer: Signer,
    *,
    converted: bool = True,
    overwrite: bool,
) -> Generator[Event]:
    """The end of a job whose segments are converted, or need not be.

    Args:
        plan: of the job.
        folder: of the job.
        signer: of the film.
        converted: False where no face was found in the whole clip.
        overwrite: replace an output that is there.

    Raises:
        ExplicitError: the clip is explicit, and no consent covers that.
        InputMissingError: a segment has not been converted; names all that have not.
        CrossfaceError: as `join`.
    """
    overwrite = folder.may_replace(plan.output, overwrite=overwrite)
    sidecars = finished_parts(plan, folder) if converted else []
    # Others may have made them, none of whom has seen the whole clip.
    scores = scores_of(plan, folder)
    plan.gate.check(scores)
    told = dict.fromkeys([*plan.warnings, *plan.losses])
    said = dict.fromkeys(warning for sidecar in sidecars for warning in sidecar.warnings)
    later = [warning for warning in said if warning not in told]
    faces = sum(sidecar.faces for sidecar in sidecars)
    copied = plan.copied_without_face and not faces
    if not faces:
        later.append(nothing_swapped(plan.source, plan.output, copied=copied, tried=converted))
    yield from map(Warned, later)
    found = plan.gate.finding(scores)
    if found is not None:
        yield Noted(f"{found}: the consent covers that")
    if copied:
        yield from copy_source(plan, folder, overwrite=overwrite)
    else:
        yield from join(plan, folder, sidecars, signer, scores, told=[*told, *later], overwrite=overwrite)


def _done(
    plan: Plan,
    folder: JobFolder,
    kept: Kept,
    signer: Signer,
    chosen: Chosen,
    workers: int,
    executor: str | None,
    overwrite: bool,
) -> Generator[Event]:
    sweep(folder.path)
    yield from map(Warned, dict.fromkeys([*plan.warnings, *plan.losses]))
    yield from (Noted(str(model)) for model in plan.models)
    missing = [segment.number for segment in plan.segments if folder.sidecar(segment.number, plan) is None]
    converted = True
    if missing and executor is not None:
        converted = yield from _on_cluster(plan, folder, missing, executor)
    elif missing and workers > 1:
        converted = yield from supervise(plan, folder, missing, _workers(kept, workers, chosen))
    elif missing:
        converted = yield from _in_this_process(plan, folder, missing, kept, chosen)
    yield from map(Warned, chosen.news())
    yield from finish(plan, folder, signer, converted=converted, overwrite=overwrite)


def do_segments(
    plan: Plan,
    folder: JobFolder,
    numbers: Sequence[int],
    stage: Stages = "all",
    *,
    device: str | Place = "auto",
    workers: int = 1,
) -> Generator[Event]:
    """Does some segments, which others may be doing parts of; what is done already is left.

    Args:
        plan: of the job.
        folder: of the job, with the plan in it.
        numbers: of the segments.
        stage: "analyze" or "convert" them, or both.
        device: where, see `convert`; "auto" is where the plan was made for.
        workers: processes side by side; 1 works in this one.

    Raises:
        RefusedError: the consent of a model has ended, or the clip is explicit.
        ConfigurationError: this machine would not give the bytes that the plan's machine gives.
        BusyError: another process is at one of them, or they have not been analysed yet.
        CrossfaceError: as `convert`.
    """
    with folder.refusing(plan, remember=True), Kept() as kept:
        yield from _segments_done(plan, folder, numbers, stage, kept, device, workers)


def check_consents(plan: Plan) -> None:
    """Raises RefusedError where a consent has ended since the job was planned."""
    for model in plan.models:
        if model.consent is not None:
            check_consent(model.path, model.identity, model.consent)


def _segments_done(
    plan: Plan,
    folder: JobFolder,
    numbers: Sequence[int],
    stage: Stages,
    kept: Kept,
    device: str | Place,
    workers: int,
) -> Generator[Event]:
    chosen = _chosen_for(plan, kept, device)
    engines = engines_of(plan.fingerprint)
    here = fingerprint(chosen.place, engines)
    if dict(plan.fingerprint) != here:
        raise ConfigurationError(
            f"{folder.plan_path}: was planned for other software or another kind of machine "
            f"({differences(dict(plan.fingerprint), here)}): plan on a machine like those that work"
        )
    if already_done(plan, folder) is not None:
        return
    plan.check_source()
    check_consents(plan)
    sweep(folder.path)
    missing = [number for number in numbers if folder.sidecar(number, plan) is None]
    if stage == "convert" and missing and plan.faces is None:
        needed = range(max(parts_needed(plan, number) for number in missing))
        unseen = [number for number in needed if not folder.is_seen(number)]
        if unseen:
            raise BusyError(
                f"{folder.plan_path}: segments {', '.join(map(str, unseen))} are not analysed yet: "
                "convert when they are (--stage analyze)"
            )
    unseen = [number for number in numbers if not folder.is_seen(number)] if plan.faces is None else []
    yield from map(Warned, chosen.news())
    if workers > 1:
        to_convert, watch = ([], unseen) if stage == "analyze" else (missing, None)
        yield from supervise(plan, folder, to_convert, _workers(kept, workers, chosen), watch=watch)
    elif stage == "analyze":
        yield from _analysed(plan, folder, unseen, kept.bench(chosen.place, engines))
    else:
        yield from _in_this_process(plan, folder, missing, kept, chosen, always=True)
    yield from map(Warned, chosen.news())


def _chosen_for(plan: Plan, kept: Kept, device: str | Place) -> Chosen:
    """Where to work on a plan that there is already: "auto" goes on where it was begun.

    Raises:
        CrossfaceError: as `Kept.choose`.
    """
    if device == "auto":
        device = "cuda" if is_of_gpu(plan.fingerprint) else "cpu"
    return kept.choose(device)


def _workers(kept: Kept, count: int, chosen: Chosen) -> Workers:
    """Dealt out to the devices, one after the other.

    Raises:
        UsageError: a place of this process alone.
    """
    devices = [place.device for place in chosen.places if place.device is not None]
    if len(devices) < len(chosen.places):
        raise UsageError("several workers cannot share a device of this process: give --workers 1")
    return kept.workers(count, devices)


def _analysed(
    plan: Plan, folder: JobFolder, numbers: Sequence[int], bench: Workbench | None
) -> Generator[Event]:
    watcher = Watcher(
        plan.source, plan.analysis, plan.reading, bench=bench, gate=plan.looked_at_by == "network"
    )
    parts = WatchedParts(plan, folder, watcher)
    of = sum(plan.segments[number].frames for number in numbers)
    done = 0
    for number in numbers:
        with closing(parts.part(plan.segments[number])) as frames:
            for n, _ in enumerate(frames, start=1):
                yield Progress("analyze", done + _frames(plan, n), of, number)
        done += plan.segments[number].frames


def _on_cluster(
    plan: Plan, folder: JobFolder, missing: Sequence[int], address: str
) -> Generator[Event, None, bool]:
    from .dask_cluster import run_on_dask  # an extra, which few have

    if plan.faces is None:
        unseen = [segment for segment in plan.segments if not folder.is_seen(segment.number)]
        yield from run_on_dask(address, folder.plan_path, "analyze", unseen)
    if len(missing) == len(plan.segments) and plan.copied_without_face:
        with lines_of(plan, folder, watch=False) as lines:
            found = yield from _any_face(plan, lines)
        if not found:
            return False
    yield from run_on_dask(
        address, folder.plan_path, "convert", [plan.segments[number] for number in missing]
    )
    return True


def finished_parts(plan: Plan, folder: JobFolder) -> list[Sidecar]:
    """Of all segments.

    Raises:
        InputMissingError: a segment has not been converted; names all that have not.
        BadInputError: a sidecar is damaged or of another plan.
    """
    found = {segment.number: folder.sidecar(segment.number, plan) for segment in plan.segments}
    folder.require_all(found)
    return [sidecar for sidecar in found.values() if sidecar is not None]


def _in_this_process(
    plan: Plan,
    folder: JobFolder,
    missing: Sequence[int],
    kept: Kept,
    chosen: Chosen,
    *,
    always: bool = False,
) -> Generator[Event, None, bool]:
    """Makes segments in order, while their analysis runs ahead in a thread; faceless ones with ``always``.

    Returns:
        False where no face was found in the whole clip, and nothing was converted therefore.
    """
    with ExitStack() as stack:
        engines = engines_of(plan.fingerprint)
        place = None if chosen.place is None else chosen.place.with_engines(engines)
        lines = stack.enter_context(lines_of(plan, folder, place=place))
        if not always and len(missing) == len(plan.segments):
            found = yield from _any_face(plan, lines)
            if not found and plan.copied_without_face:
                return False
        bench = kept.bench(chosen.place, engines)
        drawers = planned_drawers(plan, kept.networks, bench, threads=network_threads(available()))
        converter = SegmentConverter(plan, folder, lines, drawers)
        routed = False
        done = sum(each.frames for each in plan.segments if each.number not in missing)
        analysed = lines.passed
        for number in missing:
            segment = plan.segments[number]
            with closing(converter.convert(segment)) as events:
                for event in events:
                    if plan.faces is None and lines.passed > analysed:
                        analysed = lines.passed
                        yield Progress("analyze", _frames(plan, analysed), plan.frames)
                    if isinstance(event, Progress):
                        share = event.frame * segment.frames // max(1, event.of)
                        event = Progress("convert", done + share, plan.frames, number)
                    elif isinstance(event, Routed):
                        if routed:
                            continue
                        routed = True
                    yield event
            done += segment.frames
        return True


def _any_face(plan: Plan, lines: FaceLines) -> Generator[Event, None, bool]:
    """Looks as far as the first face: without any, nothing need be encoded."""
    with closing(lines.peek()) as frames:
        for n, line in enumerate(frames):
            if line.faces:
                return True
            if plan.faces is None:
                yield Progress("analyze", _frames(plan, n + 1), plan.frames)
    return False


def _frames(plan: Plan, count: int) -> int:
    """Whole frames, of what may be fields."""
    return min(plan.frames, count // plan.reading.pictures_a_frame or 1)
