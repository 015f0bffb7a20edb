"""Faces of a clip's frames for its conversion: from a faces file, or linked while the analysis runs ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from itertools import islice

from ..clip import Clip
from ..errors import BadInputError, InputMissingError
from ..face.faces_file import FacesFile, FacesHeader, FrameFaces, chosen_faces, dropped_tracks, write_faces
from ..face.link import LOOK_AHEAD_FRAMES, LinkedFrame, link
from ..face.seen import SeenFrame
from ..lifetime import Closeable
from ..on_device.place import Place
from ..part_file import PartFile
from ..pipeline import Prefetch
from ..provenance.gate import Score, noting
from ..video.info import VideoInfo
from .folder import JobFolder
from .plan import Plan
from .watching import WatchedParts, Watcher

# Going on over so many frames costs less than beginning anew.
_WORTH_GOING_ON = 1500
# How far the analysis may run ahead of who takes its frames.
_AHEAD_FRAMES = 128

Opened = AbstractContextManager[Iterable[FrameFaces]]


class FaceLines(Closeable):
    """Gives the faces of consecutive frames, again and again; goes on where it was if that is enough.

    A context manager: leaving it stops an analysis that is under way.

    Args:
        start: gives frames from a number on, to the clip's end.

    Attributes:
        passed: frames that were given out or looked at so far, counted from the clip's first.
    """

    def __init__(self, start: Callable[[int], Opened]) -> None:
        self.passed = 0
        self._start = start
        self._stack = ExitStack()
        self._frames: Iterator[FrameFaces] | None = None
        self._next = 0
        self._peeked: deque[FrameFaces] = deque()

    def peek(self) -> Generator[FrameFaces]:
        """The frames from the first on, which `frames_from` gives once more."""
        seen: deque[FrameFaces] = deque()
        try:
            for frame in self.frames_from(0):
                seen.append(frame)
                yield frame
        finally:
            self._peeked, self._next = seen, 0

    def frames_from(self, first: int) -> Generator[FrameFaces]:
        """The frame (or field) of this number, and all that follow.

        Raises:
            CrossfaceError: of the analysis, or of the file.
        """
        if self._frames is None or not 0 <= first - self._next <= _WORTH_GOING_ON:
            self.close()
            self._frames, self._next = iter(self._stack.enter_context(self._start(first))), first
        while (frame := self._take()) is not None:
            if self._next > first:
                yield frame

    def close(self) -> None:
        self._stack.close()
        self._frames = None
        self._peeked.clear()

    def _take(self) -> FrameFaces | None:
        if self._frames is None:
            return None
        frame = self._peeked.popleft() if self._peeked else next(self._frames, None)
        if frame is not None:
            self._next += 1
            self.passed = max(self.passed, self._next)
        return frame


def lines_of(
    plan: Plan,
    folder: JobFolder,
    *,
    watch: bool = True,
    threads: int = 0,
    place: Place | None = None,
) -> FaceLines:
    """For the frames of a job.

    Args:
        plan: of the job.
        folder: of the job.
        watch: analyse what has not been analysed; else that is an error.
        threads: of the analysis' networks; 0 for one a core.
        place: where the analysis works; None for the CPU.

    Raises:
        InputMissingError, BadInputError: the plan's faces file cannot be used.
        ExplicitError: while frames are taken.
    """
    if plan.faces is not None:
        file = FacesFile(plan.faces, named={model.whom for model in plan.models if model.whom is not None})
        return FaceLines(lambda first: nullcontext(islice(_planned(file, plan), first, None)))
    watcher = None
    if watch:
        watcher = Watcher(
            plan.source,
            plan.analysis,
            plan.reading,
            threads=threads,
            place=place,
            gate=plan.looked_at_by == "network",
        )
    parts = WatchedParts(plan, folder, watcher)

    def start(first: int) -> Opened:
        analysis = plan.analysis
        # From the clip's first frame on, wherever a segment begins.
        passed = plan.gate.passing(iter(parts))
        if watch and first == 0:
            linked = _written(plan, folder, passed)
        else:
            linked = link(passed, analysis.select, person=analysis.person, skip=first)
        frames = (chosen_faces(frame) for frame in linked)
        # Where others watch, parts are read when they are needed, and not before they are there.
        return Prefetch(frames, depth=_AHEAD_FRAMES) if watch else closing(frames)

    return FaceLines(start)


def write_job_faces(plan: Plan, folder: JobFolder, info: VideoInfo) -> list[str]:
    """What was found, for people to look at and edit, unless it was written while the faces were linked.

    Args:
        plan: of a job that was analysed.
        folder: of the job.
        info: of its clip.

    Returns:
        What to warn of.
    """
    file = _job_faces(folder)
    if file is None or file.header != _header(plan, info):
        for _ in _written(plan, folder, WatchedParts(plan, folder, None)):
            pass
        file = FacesFile(folder.faces_path)
    return dropped_tracks(file.path, file.tracks.values())


def _job_faces(folder: JobFolder) -> FacesFile | None:
    """The job's own; None where there is none, or one that cannot be read."""
    try:
        return FacesFile(folder.faces_path)
    except (InputMissingError, BadInputError):
        return None


def _written(plan: Plan, folder: JobFolder, parts: Iterable[Iterable[SeenFrame]]) -> Generator[LinkedFrame]:
    """The job's faces file is written while its frames pass; if they do not all pass, there is none."""
    with Clip(plan.source, plan.reading) as clip:
        header = _header(plan, clip.info)
    scores: list[Score] = []
    looked = None if plan.looked_at_by == "nobody" else scores
    with (
        closing(link(noting(parts, scores), plan.analysis.select, person=plan.analysis.person)) as linked,
        PartFile(folder.faces_path, overwrite=True) as part,
        part.open("w", encoding="utf-8") as file,
    ):
        yield from write_faces(file, header, linked, {}, looked)


def _header(plan: Plan, info: VideoInfo) -> FacesHeader:
    return FacesHeader.of(info, plan.source_hash, plan.analysis)


def _planned(file: FacesFile, plan: Plan) -> Iterator[FrameFaces]:
    """The lines of the plan's frames."""
    first_pts = plan.segments[0].start_pts
    for line in file:
        if first_pts is None or line.pts >= plan.reading.pictures_a_frame * first_pts:
            yield line


def parts_needed(plan: Plan, number: int) -> int:
    """How many parts, from the first on, must be watched before segment ``number`` can be converted."""
    ahead = 0
    for segment in plan.segments[number + 1 :]:
        if ahead >= LOOK_AHEAD_FRAMES:
            return segment.number
        ahead += segment.frames
    return len(plan.segments)
