"""The first pass over a segment: its faces, searched and followed from its first frame to its last."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ..clip import Clip, ReadingSettings
from ..errors import BadInputError
from ..face.detector import Detector
from ..face.landmarks import LandmarkFinder
from ..face.seen import SeenFile, SeenFrame, seen, write_seen
from ..face.track import Sighting, Tracker
from ..frame import Frame
from ..part_file import PartFile
from ..pipeline import FRAMES_BETWEEN_STAGES, Prefetch
from ..settings import AnalysisSettings
from .folder import JobFolder
from .plan import Plan, Segment


class Watcher:
    """Finds the faces of parts of one clip; keeps its networks loaded.

    Args:
        path: the clip.
        settings: of the analysis.
        reading: how the clip is read.
        threads: of the networks; 0 for one a core.
        warnings: what was met while reading is added here.

    Raises:
        ConfigurationError: face models are missing.
    """

    def __init__(
        self,
        path: Path,
        settings: AnalysisSettings,
        reading: ReadingSettings,
        *,
        threads: int = 0,
        warnings: list[str] | None = None,
    ) -> None:
        self.warnings = [] if warnings is None else warnings
        self._path, self._settings = path, settings
        self._reading = replace(reading, start=None, end=None)
        self._threads = threads
        self._networks: tuple[Detector, LandmarkFinder] | None = None

    def sightings(self, clip: Clip, frames: Iterable[Frame]) -> Iterator[Sighting[Frame]]:
        """Of frames of the open clip."""
        if self._networks is None:
            self._networks = (
                Detector(
                    long_side_px=self._settings.detector_px,
                    pixel_aspect=float(clip.info.sample_aspect_ratio or 1),
                    threads=self._threads,
                ),
                LandmarkFinder(display=clip.info.display, threads=self._threads),
            )
        tracker = Tracker(*self._networks, every=self._settings.detect_every)
        return tracker.follow(frames)

    def watch(self, segment: Segment) -> Generator[SeenFrame]:
        """A segment's frames with their faces; can be closed at any point.

        Raises:
            BadInputError: the clip is damaged, or does not hold the frames that its packets promised.
        """
        count = 0
        with (
            Clip(self._path, self._reading) as clip,
            Prefetch(frames_of(clip, segment), depth=FRAMES_BETWEEN_STAGES) as frames,
        ):
            for frame in seen(self.sightings(clip, frames)):
                count += 1
                yield frame
            self.warnings += check_count(self._path, segment, count, self._reading)
            self.warnings += clip.warnings


class WatchedParts:
    """The parts of a job's clip, from their files where they have been watched, else watched now.

    Args:
        plan: of the job.
        folder: of the job.
        watcher: of the clip; None only reads files.
    """

    def __init__(self, plan: Plan, folder: JobFolder, watcher: Watcher | None) -> None:
        self._plan, self._folder, self._watcher = plan, folder, watcher

    def __iter__(self) -> Iterator[Iterator[SeenFrame]]:
        for segment in self._plan.segments:
            yield self.part(segment)

    def part(self, segment: Segment) -> Generator[SeenFrame]:
        """A segment's frames; its file is written while they pass.

        Raises:
            BadInputError: as `Watcher.watch`, or a damaged file.
            InputMissingError: there is no file, and no watcher.
        """
        path = self._folder.seen(segment.number)
        if path.exists() or self._watcher is None:
            yield from _read(path, self._plan)
            return
        header = {"analysis": self._plan.analysis_id, "segment": segment.number}
        with (
            closing(self._watcher.watch(segment)) as frames,
            PartFile(path, overwrite=True) as part,
            part.open("w", encoding="utf-8") as file,
        ):
            yield from write_seen(file, header, frames)


def _read(path: Path, plan: Plan) -> Iterator[SeenFrame]:
    file = SeenFile(path)
    if file.header.get("analysis") != plan.analysis_id:
        raise BadInputError(f"{path}: is of another analysis: delete it, and its part is analysed anew")
    return iter(file)


def check_count(path: Path, segment: Segment, count: int, reading: ReadingSettings) -> list[str]:
    """Compares a segment's frames with what the plan promised; gives warnings.

    Raises:
        BadInputError: others go on from where this segment ends, and they would not fit.
    """
    wanted = segment.frames * reading.pictures_a_frame
    if count == wanted:
        return []
    first = segment.first_frame
    found = (
        f"{path}: frames {first} to {first + segment.frames - 1}: {count} could be read where its packets "
        f"promise {wanted}"
    )
    if reading.tolerate_damage or (segment.start_pts is None and segment.end_pts is None):
        return [found]
    raise BadInputError(f"{found}: the clip is damaged; convert it anew with --tolerate-damage")


def frames_of(clip: Clip, segment: Segment, *, lead: bool = False) -> Iterator[Frame]:
    """A segment's frames; with ``lead`` those before it, whose colours it needs."""
    start, first = segment.start_pts, segment.first_frame
    if lead:
        start, first = segment.lead_pts, first - segment.lead_frames
    return clip.frames(start, segment.end_pts, first_index=first)
