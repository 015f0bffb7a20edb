"""Pass 1: packets to faces."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import av.error

from .errors import BadInputError
from .events import Event, Finished, Progress, Warned
from .face.detector import Detector
from .face.faces_file import FacesHeader, Selection, write_faces
from .face.landmarks import LandmarkFinder
from .face.smooth import SteadySighting, smooth
from .face.track import Tracker
from .part_file import PartFile, keep_sources
from .pipeline import Prefetch
from .video.reader import Reader
from .video.source import open_source

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


def watch(reader: Reader, settings: AnalysisSettings) -> Generator[SteadySighting]:
    """Every frame of a clip with its faces, tracked and steady; streaming.

    Raises:
        ConfigurationError: face models are missing.
        BadInputError: from the reader, while iterating.
    """
    tracker = Tracker(
        Detector(long_side_px=settings.detector_px),
        LandmarkFinder(display=reader.info.display),
        every=settings.detect_every,
    )
    with Prefetch(reader, depth=_READ_AHEAD_FRAMES) as frames:
        yield from smooth(tracker.follow(frames))


def analyze(
    clip: Path | str,
    output: Path | str,
    *,
    settings: AnalysisSettings | None = None,
    tolerate_damage: bool = False,
    overwrite: bool = False,
) -> Generator[Event]:
    """Finds and follows the faces of a clip: a generator of events that writes a faces file.

    Args:
        clip: a video file.
        output: the faces file to write.
        settings: of the analysis.
        tolerate_damage: read on over damage; it is reported as warnings.
        overwrite: replace ``output``.

    Raises:
        InputMissingError, BadInputError: the clip cannot be used.
        ConfigurationError: face models are missing.
        OutputExistsError, OutputError: ``output`` is there already, or cannot be written.
        UsageError: ``output`` is the clip.
    """
    settings = settings or AnalysisSettings()
    clip, output = Path(clip), Path(output)
    keep_sources(output, clip)
    with (
        PartFile(output, overwrite=overwrite) as part,
        Reader(clip, tolerate_damage=tolerate_damage) as reader,
        # Its thread must have ended before the reader closes, whatever is raised here.
        closing(watch(reader, settings)) as sightings,
    ):
        header = FacesHeader(
            source_hash=packet_hash(clip),
            width=reader.info.width,
            height=reader.info.height,
            time_base=str(reader.info.time_base),
            settings=asdict(settings),
            software=f"crossface {version('crossface')}",
        )
        frames = faces = 0
        with part.open("w", encoding="utf-8") as file:
            for found in write_faces(file, header, sightings, settings.select):
                frames, faces = frames + 1, faces + found
                yield Progress("analyze", frames, reader.info.frame_count_declared)
        for warning in reader.warnings:
            yield Warned(warning)
    if not faces:
        yield Warned(f"{clip}: no face found in {frames} frames")
    yield Finished(output, frames, faces)


def packet_hash(clip: Path) -> str:
    """sha256 over every packet of every stream: time, stream and payload; no path enters it.

    Raises:
        InputMissingError, BadInputError: the clip cannot be opened.
    """
    digest = hashlib.sha256()
    _, container = open_source(clip)
    with container:
        try:
            for packet in container.demux():
                digest.update(f"{packet.stream_index} {packet.pts} {packet.dts} {packet.size}\n".encode())
                if packet.size:
                    digest.update(packet)
        except av.error.FFmpegError as error:
            # The reader meets the same damage and reports it; what could be read still identifies the clip.
            digest.update(str(error.errno).encode())
        except ValueError as error:
            raise BadInputError(f"{clip}: cannot be read to its end ({error}): export it again") from error
    return digest.hexdigest()
