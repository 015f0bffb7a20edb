"""Gives the faces of a clip to the person of a model: plan, segments, join, all in one."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import astuple, replace
from pathlib import Path

from .clip import ReadingSettings
from .errors import DeviceUnavailableError, UsageError
from .events import Event, Warned
from .jobs.cores import available, network_threads
from .jobs.fingerprint import is_of_gpu
from .jobs.finish import already_done
from .jobs.folder import JobFolder, folder_of
from .jobs.kept import Kept
from .jobs.one_pass import convert_in_one_pass
from .jobs.plan import Plan
from .jobs.planning import make_plan, planned_models
from .jobs.run import run
from .on_device.choice import CPU, Chosen
from .on_device.drawing import check_match, input_shape
from .on_device.place import Place
from .part_file import keep_sources
from .provenance.credentials import Signing
from .sequence.name import find_sequence
from .settings import AnalysisSettings, CompositorPaths, ConversionSettings
from .swap.model import ModelFile, read_model
from .swap.steady_match import MatchSettings

__all__ = ["CompositorPaths", "ConversionSettings", "convert"]


def convert(
    clip: Path | str,
    model: Path | str | Mapping[str | None, Path | str],
    output: Path | str,
    *,
    faces: Path | str | None = None,
    settings: ConversionSettings | None = None,
    analysis: AnalysisSettings | None = None,
    reading: ReadingSettings | None = None,
    compositing: CompositorPaths | None = None,
    device: str | Place = "auto",
    workers: int = 1,
    executor: str | None = None,
    signing: Signing | None = None,
    rights_stated: bool = False,
    kept: Kept | None = None,
    overwrite: bool = False,
) -> Generator[Event]:
    """Gives the faces of a clip to the person of a model: a generator of events that writes a clip.

    It can be closed at any point; the output then does not appear. From film to film what was done by then
    lies in a folder beside the output, ``OUTPUT.job``, and the same call goes on from there; done once, it
    says so and does nothing. A clip without a face comes back as it was, with a warning.

    Args:
        clip: a video file or an image sequence.
        model: an ONNX file of `crossface export`, or a DFM; or several, by the number of a track or the name
            of a person in ``faces``, and None for all others.
        output: ``.mp4``, ``.mov``, ``.mkv`` or ``.webm``, or an image sequence.
        faces: a faces file of this clip; it is analysed while it is converted where None.
        settings: of the conversion.
        analysis: of the analysis, where ``faces`` is None.
        reading: how the clip is read, and which frames of it.
        compositing: what else is written, or read, for a compositor.
        device: ``cpu``; ``cuda`` for all GPUs, of which each worker gets one; ``cuda:N`` for one of them;
            ``auto`` for GPUs, and the CPU where none will do, or the job was begun there. Or a place itself.
            On a device, iterate and close in one thread.
        workers: processes that work side by side; the output is the same for any number.
        executor: ``dask://HOST:PORT`` of a cluster that does the segments instead.
        signing: who signs the content credentials; the identity of this machine where None.
        rights_stated: you have the right to draw the people whose models hold no consent, said once a model;
            and to make this film, where nobody looks for explicit content, said each time.
        kept: networks and workers, from one call to the next.
        overwrite: replace ``output``, and a job of another plan.

    Raises:
        RefusedError: the consent in a model has ended; or there is none, and the rights were never stated; or
            nobody looks for explicit content, and they are not stated now.
        ExplicitError: the clip looks sexually explicit, and no consent covers that.
        UsageError: settings that make no sense, or that the encoder refuses; ``output`` is a source.
        InputMissingError, BadInputError: clip, model or faces file cannot be used, or do not belong together.
        ConfigurationError: face models are missing, or what image sequences or content credentials need.
        OutputExistsError, OutputError: ``output`` is there already, or cannot be written.
        BusyError: another process works on the same output.
        DeviceUnavailableError: a GPU was asked for by name, and cannot be used.
    """
    clip, output = Path(clip), Path(output)
    models: dict[str | None, Path] = {}
    for whom, named in (model if isinstance(model, Mapping) else {None: model}).items():
        models[whom] = Path(named)
    settings, analysis = settings or ConversionSettings(), analysis or AnalysisSettings()
    reading, compositing = reading or ReadingSettings(), compositing or CompositorPaths()
    faces = None if faces is None else Path(faces)
    if signing is not None and signing.unsigned_because is not None:
        settings = replace(settings, unmarked_because=signing.unsigned_because)
    settings.check()
    analysis.check()
    if any(models) and faces is None:
        raise UsageError("who is drawn on whom is chosen by tracks or persons of a faces file: give --faces")
    keep_sources(output, clip, *models.values(), *([] if faces is None else [faces]))
    # What is wrong with one is told before anything is loaded.
    read = {whom: read_model(path) for whom, path in models.items()}
    planned = planned_models(read, rights_stated=rights_stated)
    signer = (signing or Signing()).signer()
    in_one_pass = find_sequence(clip, reading.frames) or find_sequence(output) or any(astuple(compositing))
    with ExitStack() as stack:
        kept = kept or stack.enter_context(Kept())
        folder = JobFolder(folder_of(output))
        chosen = _chosen(
            folder,
            read.values(),
            kept,
            "cpu" if in_one_pass else device,
            match=settings.match,
            overwrite=overwrite,
        )
        yield from map(Warned, chosen.news())
        if in_one_pass and device not in ("auto", "cpu"):
            yield Warned(f"{output}: image sequences, and what compositors want, are made on the CPU")
        if in_one_pass or (workers == 1 and executor is None and chosen.place is None):
            # In a thread, while the clip is looked at.
            paths = {whom: path.absolute() for whom, path in models.items()}
            threads = network_threads(available())
            loading = kept.networks.load(paths, batch=settings.batch, threads=threads, morph=settings.morph)
        if in_one_pass:
            yield from convert_in_one_pass(
                clip,
                loading.result(),
                output,
                planned,
                signer,
                faces=faces,
                settings=settings,
                analysis=analysis,
                reading=reading,
                compositing=compositing,
                rights_stated=rights_stated,
                overwrite=overwrite,
            )
            return
        plan = make_plan(
            clip,
            models,
            output,
            faces=faces,
            conversion=settings,
            analysis=analysis,
            reading=reading,
            place=chosen.place,
            rights_stated=rights_stated,
            overwrite=folder.may_replace(output, overwrite=overwrite),
        )
        with folder.locked():
            if folder.plan_path.exists():
                finished = _settle(plan, folder, overwrite=overwrite)
                if finished is not None:
                    yield finished
                    return
            plan.write(folder.plan_path)
            yield from run(
                plan,
                folder,
                kept,
                signer,
                chosen=chosen,
                workers=workers,
                executor=executor,
                overwrite=overwrite,
            )


def _chosen(
    folder: JobFolder,
    models: Iterable[ModelFile],
    kept: Kept,
    device: str | Place,
    *,
    match: MatchSettings,
    overwrite: bool,
) -> Chosen:
    """Where to work: with "auto" where the job was begun, if it was, or on the CPU where a GPU will not do.

    Raises:
        DeviceUnavailableError: a GPU was asked for by name, and cannot be used, or not for these models or
            colours.
        BadInputError: a plan that is there is damaged.
    """
    if device == "auto" and not overwrite and folder.plan_path.exists():
        before = Plan.read(folder.plan_path)
        if not is_of_gpu(before.fingerprint):
            return CPU
    chosen = kept.choose(device)
    try:
        if chosen.places:
            check_match(match)
            for model in models:
                input_shape(model, 1)
    except DeviceUnavailableError as error:
        if device != "auto":
            raise
        return Chosen((), str(error), deque([f"on the CPU: {error}"]))
    return chosen


def _settle(plan: Plan, folder: JobFolder, *, overwrite: bool) -> Event | None:
    """What becomes of a job that was begun before: it goes on, is done already, or begins anew.

    Raises:
        CrossfaceError: it had another plan.
    """
    before = Plan.read(folder.plan_path)
    done = folder.read_done() is not None
    if overwrite:
        if done or before.id != plan.id:
            folder.begin_anew(keep_seen=before.analysis_id == plan.analysis_id)
        return None
    plan.check_same(before, folder.path)
    finished = already_done(plan, folder)
    if finished is None and done:
        folder.begin_anew(keep_seen=False)
    return finished
