"""Tracks without holes: a face that is lost for some frames is where it lay before and after, and between.

A hand passes, a head turns away and back: the tracker ends one track and begins another. And while a face is
hardly seen its presence dips, although the face is no less there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from .detector import intersection_over_union
from .seen import SeenFace

# Of a gap at most, and of a dip.
GAP_FRAMES = 12
# Two boxes on both sides of a gap that overlap this much are one face.
_SAME_FACE = 0.3


@dataclass(frozen=True)
class TrackedFrame:
    """A frame whose faces are numbered through the clip, in the order of the part's file."""

    pts: int
    shot: int
    faces: Mapping[int, SeenFace]


def bridged(frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
    """Joins tracks of one shot over gaps, and fills these; then lifts presence over dips.

    Holds ``2 * GAP_FRAMES`` frames back.
    """
    return _without_dips(_without_gaps(frames))


def _without_gaps(frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
    numbers: dict[int, int] = {}
    ahead: deque[TrackedFrame] = deque()

    def filled(now: TrackedFrame) -> TrackedFrame:
        for track in now.faces:
            if ahead and ahead[0].shot == now.shot and track not in ahead[0].faces:
                _bridge(now, track, ahead, numbers)
        return now

    for frame in frames:
        # Every frame goes by the number that its track has by now.
        ahead.append(_renumbered(frame, numbers))
        if len(ahead) > GAP_FRAMES + 1:
            yield filled(ahead.popleft())
    while ahead:
        yield filled(ahead.popleft())


def _bridge(now: TrackedFrame, track: int, ahead: deque[TrackedFrame], numbers: dict[int, int]) -> None:
    """Finds where a track that ends now goes on, and fills the frames between, in ``ahead`` itself."""
    last = now.faces[track]
    before = now
    for n, frame in enumerate(ahead):
        if frame.shot != now.shot:
            return
        new = [each for each in frame.faces if each not in before.faces and each not in now.faces]
        overlaps = {each: intersection_over_union(last.box, frame.faces[each].box) for each in new}
        best = max(overlaps, key=lambda each: (overlaps[each], -each), default=None)
        if best is None or overlaps[best] < _SAME_FACE:
            before = frame
            continue
        numbers[best] = track
        for later in range(n, len(ahead)):
            ahead[later] = _renumbered(ahead[later], {best: track})
        for between in range(n):
            pts = ahead[between].pts
            share = (pts - now.pts) / (frame.pts - now.pts)
            face = _between(last, ahead[n].faces[track], share)
            ahead[between] = replace(ahead[between], faces=_by_height({**ahead[between].faces, track: face}))
        return


def _renumbered(frame: TrackedFrame, numbers: Mapping[int, int]) -> TrackedFrame:
    if not numbers.keys() & frame.faces.keys():
        return frame
    return replace(frame, faces={numbers.get(track, track): face for track, face in frame.faces.items()})


def _by_height(faces: Mapping[int, SeenFace]) -> dict[int, SeenFace]:
    """The largest first, as the tracker gives them."""
    return dict(sorted(faces.items(), key=lambda entry: entry[1].box[1] - entry[1].box[3]))


def _between(before: SeenFace, after: SeenFace, share: float) -> SeenFace:
    points = before.points + share * (after.points - before.points)
    x0, y0, x1, y1 = (a + share * (b - a) for a, b in zip(before.box, after.box, strict=True))
    return SeenFace.of(before.track, 0.0, (x0, y0, x1, y1), points, b"", bridged=True)


def _without_dips(frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
    """Presence is the least of the two highest before and after, each within `GAP_FRAMES`."""
    around: deque[TrackedFrame] = deque()
    centre = 0

    def lifted() -> TrackedFrame:
        nonlocal centre
        frame = around[centre]
        before, after = list(around)[: centre + 1][::-1], list(around)[centre:]
        faces = {
            track: replace(face, presence=min(_highest(track, before), _highest(track, after)))
            for track, face in frame.faces.items()
        }
        if centre == GAP_FRAMES:
            around.popleft()
        else:
            centre += 1
        return replace(frame, faces=faces)

    for frame in frames:
        around.append(frame)
        if len(around) - centre > GAP_FRAMES:
            yield lifted()
    while centre < len(around):
        yield lifted()


def _highest(track: int, frames: list[TrackedFrame]) -> float:
    """Of a track's run that begins with the first frame."""
    highest = 0.0
    for frame in frames[: GAP_FRAMES + 1]:
        if track not in frame.faces:
            break
        highest = max(highest, frame.faces[track].presence)
    return highest
