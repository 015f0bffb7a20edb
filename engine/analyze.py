"""Pass 1: packets to faces."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

from .clip import Clip, ReadingSettings
from .events import Event, Finished, Progress, Warned
from .face.align import LANDMARK_COUNT, Points
from .face.faces_file import FacesHeader, Track, dropped_tracks, write_faces
from .face.link import link
from .face.seen import SeenFrame
from .face.smooth import smooth
from .face.track import Sighting
from .frame import Frame
from .jobs.planning import segments_of
from .jobs.watching import Watcher
from .on_device.choice import choose_places
from .on_device.place import Place
from .part_file import PartFile, keep_sources
from .pipeline import FRAMES_BETWEEN_STAGES, Prefetch
from .provenance.gate import Gate, Score, is_installed, noting
from .sequence.name import find_sequence
from .settings import AnalysisSettings, ConversionSettings
from .video.index import scan

__all__ = ["AnalysisSettings", "analyze", "watch"]


def watch(clip: Clip, settings: AnalysisSettings) -> Generator[tuple[Sighting[Frame], dict[int, Points]]]:
    """Every frame of a clip with its faces, tracked, and all landmarks of each track, steady; streaming.

    Raises:
        ConfigurationError: face models are missing.
        BadInputError: from the clip, while iterating.
    """
    watcher = Watcher(clip.path, settings, ReadingSettings())
    with Prefetch(clip, depth=FRAMES_BETWEEN_STAGES) as frames:
        yield from smooth(
            watcher.sightings(clip, frames),
            lambda sighting: sighting.frame.pts,
            lambda sighting: {face.track: face.mesh.landmarks for face in sighting.faces},
            landmarks=range(LANDMARK_COUNT),
        )


def analyze(
    clip: Path | str,
    output: Path | str,
    *,
    settings: AnalysisSettings | None = None,
    reading: ReadingSettings | None = None,
    device: str | Place = "auto",
    overwrite: bool = False,
) -> Generator[Event]:
    """Finds and follows the faces of a clip: a generator of events that writes a faces file.

    Args:
        clip: a video file or an image sequence.
        output: the faces file to write.
        settings: of the analysis.
        reading: how the clip is read.
        device: as of `convert`; its first GPU is used.
        overwrite: replace ``output``.

    Raises:
        InputMissingError, BadInputError: the clip cannot be used.
        ConfigurationError: face models are missing.
        OutputExistsError, OutputError: ``output`` is there already, or cannot be written.
        UsageError: ``output`` is the clip, or a reading setting that does not fit it.
    """
    settings, reading = settings or AnalysisSettings(), reading or ReadingSettings()
    path, output = Path(clip), Path(output)
    keep_sources(output, path)
    settings.check()
    warnings: list[str] = []
    tracks: dict[int, Track] = {}
    scores: list[Score] = []
    gate = is_installed()
    chosen = choose_places(device)
    yield from map(Warned, chosen.news())
    with PartFile(output, overwrite=overwrite) as part:
        with Clip(path, reading) as source:
            of = source.frame_count
            base = source.info.time_base
            header = FacesHeader.of(source.info, source.content_hash(), settings)
        parts = _parts(path, settings, reading, chosen.place, warnings, gate=gate)
        frames = faces = 0
        with (
            part.open("w", encoding="utf-8") as file,
            # Its threads must have ended before anything else happens, whatever is raised here.
            closing(parts),
            closing(link(noting(parts, scores), settings.select, person=settings.person)) as linked,
        ):
            for frame in write_faces(file, header, linked, tracks, scores if gate else None):
                frames, faces = frames + 1, faces + len(frame.faces)
                yield Progress("analyze", frames, of)
        yield from map(Warned, dict.fromkeys([*warnings, *chosen.news()]))
    yield from map(Warned, dropped_tracks(output, tracks.values()))
    if not gate:
        yield Warned(f'{path}: was not looked at for explicit content: "crossface weights" fetches what does')
    found = Gate(path, base).finding(scores)
    if found is not None:
        yield Warned(f"{found}: convert refuses it, unless the consent covers that")
    if not faces:
        yield Warned(f"{path}: no face found in {frames} frames")
    yield Finished(output, frames, faces)


def _parts(
    path: Path,
    settings: AnalysisSettings,
    reading: ReadingSettings,
    place: Place | None,
    warnings: list[str],
    *,
    gate: bool,
) -> Generator[Iterator[SeenFrame]]:
    """The clip in the parts that a conversion has, so that both find the same; a sequence in one."""
    if find_sequence(path, reading.frames) is not None or reading.tolerate_damage:
        yield _whole(path, Watcher(path, settings, reading, gate=gate), reading, warnings)
        return
    index = scan(path, video_stream=reading.video_stream, fps=reading.fps)
    with Clip(path, reading, index=index) as clip:
        span, reading = clip.span, clip.settings
    watcher = Watcher(path, settings, reading, warnings=warnings, place=place, gate=gate)
    first, end = (0, index.count) if span is None else (span.first, span.end)
    with watcher.at_work():
        for segment in segments_of(index, first, end, length_s=ConversionSettings().segment_s):
            with closing(watcher.watch(segment)) as seen_frames:
                yield seen_frames


def _whole(
    path: Path, watcher: Watcher, reading: ReadingSettings, warnings: list[str]
) -> Iterator[SeenFrame]:
    with Clip(path, reading) as clip, Prefetch(clip, depth=FRAMES_BETWEEN_STAGES) as frames:
        yield from watcher.seen(clip, frames)
        warnings += clip.warnings
