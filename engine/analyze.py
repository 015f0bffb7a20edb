"""Pass 1: packets to faces."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from .clip import Clip, ReadingSettings
from .events import Event, Finished, Progress, Warned
from .face.detector import Detector
from .face.faces_file import FacesHeader, Selection, write_faces
from .face.landmarks import LandmarkFinder
from .face.smooth import SteadySighting, smooth
from .face.track import Tracker
from .part_file import PartFile, keep_sources
from .pipeline import Prefetch

_READ_AHEAD_FRAMES = 8


@dataclass(frozen=True)
class AnalysisSettings:
    """What changes the result of an analysis.

    Attributes:
        detect_every: frames from one search by the detector to the next.
        detector_px: long side of the picture that the detector sees.
        select: which tracks are swapped; see `write_faces`.
    """

    detect_every: int = 5
    detector_px: int = 640
    select: Selection = "largest"


def watch(clip: Clip, settings: AnalysisSettings) -> Generator[SteadySighting]:
    """Every frame of a clip with its faces, tracked and steady; streaming.

    Raises:
        ConfigurationError: face models are missing.
        BadInputError: from the clip, while iterating.
    """
    tracker = Tracker(
        Detector(long_side_px=settings.detector_px, pixel_aspect=float(clip.info.sample_aspect_ratio or 1)),
        LandmarkFinder(display=clip.info.display),
        every=settings.detect_every,
    )
    with Prefetch(clip, depth=_READ_AHEAD_FRAMES) as frames:
        yield from smooth(tracker.follow(frames))


def analyze(
    clip: Path | str,
    output: Path | str,
    *,
    settings: AnalysisSettings | None = None,
    reading: ReadingSettings | None = None,
    overwrite: bool = False,
) -> Generator[Event]:
    """Finds and follows the faces of a clip: a generator of events that writes a faces file.

    Args:
        clip: a video file or an image sequence.
        output: the faces file to write.
        settings: of the analysis.
        reading: how the clip is read.
        overwrite: replace ``output``.

    Raises:
        InputMissingError, BadInputError: the clip cannot be used.
        ConfigurationError: face models are missing.
        OutputExistsError, OutputError: ``output`` is there already, or cannot be written.
        UsageError: ``output`` is the clip, or a reading setting that does not fit it.
    """
    settings = settings or AnalysisSettings()
    path, output = Path(clip), Path(output)
    keep_sources(output, path)
    with (
        PartFile(output, overwrite=overwrite) as part,
        Clip(path, reading) as source,
        # Its thread must have ended before the clip closes, whatever is raised here.
        closing(watch(source, settings)) as sightings,
    ):
        header = FacesHeader(
            source_hash=source.content_hash(),
            width=source.info.width,
            height=source.info.height,
            time_base=str(source.info.time_base),
            settings=asdict(settings),
            software=f"crossface {version('crossface')}",
        )
        frames = faces = 0
        with part.open("w", encoding="utf-8") as file:
            for found in write_faces(file, header, sightings, settings.select):
                frames, faces = frames + 1, faces + found
                yield Progress("analyze", frames, source.frame_count)
        for warning in source.warnings:
            yield Warned(warning)
    if not faces:
        yield Warned(f"{path}: no face found in {frames} frames")
    yield Finished(output, frames, faces)
