"""The first pass over a segment: its faces, searched and followed from its first frame to its last."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from ..clip import Clip, ReadingSettings
from ..errors import BadInputError
from ..face.detector import DetectionSettings, Detector
from ..face.landmarks import LandmarkFinder
from ..face.looks import LookFinder, TrackLooks
from ..face.seen import SeenFile, SeenFrame, seen, write_seen
from ..face.track import Sighting, Tracker
from ..frame import Frame
from ..on_device.frame import Decoded, LaneFrame, in_host
from ..on_device.place import Place
from ..on_device.workbench import Workbench
from ..part_file import PartFile
from ..pipeline import FRAMES_BETWEEN_STAGES, Prefetch
from ..provenance.explicit import FrameScores, Scorer
from ..settings import AnalysisSettings
from .folder import JobFolder
from .plan import Plan, Segment
from .route import decoder_of


class Watcher:
    """Finds the faces of parts of one clip; keeps its networks loaded.

    At a place it works for one thread, between entering and leaving `at_work`.

    Args:
        path: the clip.
        settings: of the analysis.
        reading: how the clip is read.
        threads: of the networks; 0 for one a core.
        warnings: what was met while reading is added here.
        place: where it works; None for the CPU.
        bench: a lane there, of the thread that watches; None opens one.
        gate: score frames for the content gate.

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
        place: Place | None = None,
        bench: Workbench | None = None,
        gate: bool = False,
    ) -> None:
        self.warnings = [] if warnings is None else warnings
        self._path, self._settings = path, settings
        self._reading = replace(reading, start=None, end=None)
        self._threads = threads
        self._networks: tuple[Detector, LandmarkFinder] | None = None
        self._look_finder: LookFinder | None = None
        self._gate = gate
        self._scorer: Future[Scorer] | None = None
        if settings.select == "person":
            # Who somebody is is told on the CPU alone.
            place = bench = None
        self._place = place if bench is None else bench.place
        self._bench = bench

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Has a lane open in this thread, where it needs one.

        Raises:
            CrossfaceError: as `Place.lane`.
        """
        if self._place is None or self._bench is not None:
            yield
            return
        with self._place.lane() as lane:
            self._bench = Workbench(self._place, lane)
            try:
                yield
            finally:
                self._bench = None

    def _sightings_on_lane(
        self, bench: Workbench, clip: Clip, frames: Iterable[Decoded]
    ) -> Iterator[Sighting[LaneFrame]]:
        tracker = bench.tracker(
            detection_settings(self._settings, clip), clip.info.display, every=self._settings.detect_every
        )
        held: deque[LaneFrame] = deque()

        def brought() -> Iterator[LaneFrame]:
            for frame in frames:
                held.append(bench.on_device(frame))
                yield held[-1]

        try:
            for sighting in tracker.follow(brought()):
                yield sighting
                # Nothing reads it any more.
                bench.uploader.release(held.popleft())
        finally:
            # Its networks may go next, and some faces are followed in vain.
            bench.lane.synchronize()
            for frame in held:
                bench.uploader.release(frame)

    def sightings(self, clip: Clip, frames: Iterable[Decoded]) -> Iterator[Sighting[Frame]]:
        """Of frames of the open clip that lie in the host's memory, on the CPU."""
        if self._networks is None:
            self._networks = (
                Detector(detection_settings(self._settings, clip), threads=self._threads),
                LandmarkFinder(display=clip.info.display, threads=self._threads),
            )
        tracker = Tracker(*self._networks, every=self._settings.detect_every)
        return tracker.follow(map(in_host, frames))

    def seen(self, clip: Clip, frames: Iterable[Decoded]) -> Iterator[SeenFrame]:
        """What is kept of the faces in frames of the open clip, on the CPU."""
        looks = None
        if self._settings.select == "person":
            self._look_finder = self._look_finder or LookFinder(
                display=clip.info.display, threads=self._threads
            )
            looks = TrackLooks(self._look_finder)
        scorer = self._scorer_for(clip)
        scores = None
        if scorer is not None:
            scores = FrameScores[Frame](lambda frame: scorer.result().score(frame))
        return seen(self.sightings(clip, frames), looks, scores)

    def _seen_on_lane(self, bench: Workbench, clip: Clip, frames: Iterable[Decoded]) -> Iterator[SeenFrame]:
        scorer, scores = self._scorer_for(clip), None
        if scorer is not None:
            pictures = bench.pictures()
            scores = FrameScores[LaneFrame](lambda frame: scorer.result().score_picture(pictures.of(frame)))
        return seen(self._sightings_on_lane(bench, clip, frames), scores=scores)

    def _scorer_for(self, clip: Clip) -> Future[Scorer] | None:
        if self._gate and self._scorer is None:
            # In a thread, for it takes longer to load than all the others, which come first.
            loader = ThreadPoolExecutor(1, "gate")
            self._scorer = loader.submit(Scorer, clip.info.display, threads=self._threads)
            loader.shutdown(wait=False)
        return self._scorer

    def watch(self, segment: Segment) -> Generator[SeenFrame]:
        """A segment's frames with their faces; can be closed at any point.

        Raises:
            BadInputError: the clip is damaged, or does not hold the frames that its packets promised.
        """
        count = 0
        with (
            Clip(self._path, self._reading, hardware=decoder_of(self._place)) as clip,
            Prefetch(frames_of(clip, segment), depth=FRAMES_BETWEEN_STAGES) as frames,
        ):
            if self._bench is None:
                found = self.seen(clip, frames)
            else:
                found = self._seen_on_lane(self._bench, clip, frames)
            for frame in found:
                count += 1
                yield frame
            self.warnings += check_count(self._path, segment, count, self._reading)
            self.warnings += clip.warnings


def detection_settings(settings: AnalysisSettings, clip: Clip) -> DetectionSettings:
    """What the detector looks for in the frames of an open clip."""
    aspect = float(clip.info.sample_aspect_ratio or 1)
    return DetectionSettings(long_side_px=settings.detector_px, pixel_aspect=aspect)


class WatchedParts:
    """The parts of a job's clip, from their files where they have been watched, else watched now.

    Args:
        plan: of the job.
        folder: of the job.
        watcher: of the clip; None only reads files.
    """

    def __init__(self, plan: Plan, folder: JobFolder, watcher: Watcher | None) -> None:
        self._plan, self._folder, self._watcher = plan, folder, watcher

    def __iter__(self) -> Generator[Iterator[SeenFrame]]:
        with nullcontext() if self._watcher is None else self._watcher.at_work():
            for segment in self._plan.segments:
                # It ends before the lane does, wherever the iteration is left.
                with closing(self.part(segment)) as frames:
                    yield frames

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


def frames_of(clip: Clip, segment: Segment, *, lead: bool = False) -> Iterator[Decoded]:
    """A segment's frames, where they are decoded; with ``lead`` those before it, whose colours it needs."""
    start, first = segment.start_pts, segment.first_frame
    if lead:
        start, first = segment.lead_pts, first - segment.lead_frames
    return clip.decoded(start, segment.end_pts, first_index=first)
