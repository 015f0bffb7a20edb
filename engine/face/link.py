"""Parts of a clip become one: tracks run on over their borders, landmarks become steady, faces are chosen.

All of it streams, a second ahead of what it gives, and depends on nothing but the parts' contents.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from .align import Points
from .bridge import GAP_FRAMES, TrackedFrame, bridged
from .choose import LOOK_AHEAD_FRAMES as CHOICE_AHEAD_FRAMES
from .choose import Dropped, choose
from .cuts import is_cut
from .detector import Box, intersection_over_union
from .seen import KEPT_POINTS, SeenFrame
from .smooth import RADIUS_FRAMES, smooth

# How far a frame's faces depend on those of frames to come: two stages of bridging, then the others.
LOOK_AHEAD_FRAMES = 2 * GAP_FRAMES + CHOICE_AHEAD_FRAMES + RADIUS_FRAMES
# Two boxes on both sides of a border that overlap this much are one face.
_SAME_FACE = 0.3


@dataclass(frozen=True)
class LinkedFace:
    """A face of a clip.

    Attributes:
        track: number of its track, unique in the clip; a track never crosses a cut.
        presence: 0..1, without dips.
        box: bounds of all landmarks as measured, ``(x0, y0, x1, y1)``, luma px.
        points: its `KEPT_POINTS`, float64 ``[n, 2]``, luma px, smoothed.
        raw: the same as measured.
        chosen: it is to be swapped.
        dropped: why its track is no face worth a swap here; None where it is.
        bridged: nobody saw it: it lies between where it was seen before and after.
    """

    track: int
    presence: float
    box: Box
    points: Points
    raw: Points
    chosen: bool
    dropped: Dropped | None
    bridged: bool


@dataclass(frozen=True)
class LinkedFrame:
    """A frame of a clip: its time, its shot, and its faces, the largest first."""

    pts: int
    shot: int
    faces: tuple[LinkedFace, ...]


def link(
    parts: Iterable[Iterable[SeenFrame]], select: str, *, person: str = "", skip: int = 0
) -> Generator[LinkedFrame]:
    """All frames of all parts, in order.

    Args:
        parts: of the clip, in order, from its beginning.
        select: which faces are chosen; see `choose`.
        person: see `choose`.
        skip: leave out so many frames at the beginning; costs less than dropping them.

    Raises:
        UsageError: no such selection.
    """
    frames = choose(bridged(_joined(parts)), select, person)
    before = min(skip, RADIUS_FRAMES)
    steady = smooth(
        islice(frames, skip - before, None),
        lambda each: each.frame.pts,
        lambda each: {track: face.points for track, face in each.frame.faces.items()},
        landmarks=KEPT_POINTS,
    )
    for each, points in islice(steady, before, None):
        yield LinkedFrame(
            each.frame.pts,
            each.frame.shot,
            tuple(
                LinkedFace(
                    track,
                    face.presence,
                    face.box,
                    points[track],
                    face.points,
                    chosen=track in each.chosen,
                    dropped=each.dropped.get(track),
                    bridged=face.bridged,
                )
                for track, face in each.frame.faces.items()
            ),
        )


def _joined(parts: Iterable[Iterable[SeenFrame]]) -> Iterator[TrackedFrame]:
    shot = next_track = 0
    before: TrackedFrame | None = None
    last_thumbnail: NDArray[np.float32] | None = None
    for part in parts:
        numbers: dict[int, int] = {}
        for n, frame in enumerate(part):
            cut = frame.cut
            if n == 0 and before is not None:
                assert last_thumbnail is not None and frame.thumbnail is not None
                cut = is_cut(last_thumbnail, frame.thumbnail)
                if not cut:
                    numbers = _same_faces(before, frame)
            if before is not None and cut:
                shot += 1
            for face in frame.faces:
                if face.track not in numbers:
                    numbers[face.track] = next_track
                    next_track += 1
            before = TrackedFrame(frame.pts, shot, {numbers[face.track]: face for face in frame.faces})
            last_thumbnail = frame.thumbnail
            yield before


def _same_faces(before: TrackedFrame, frame: SeenFrame) -> dict[int, int]:
    """The clip's number of each of the frame's tracks that runs on from the part before."""
    pairs = sorted(
        (-intersection_over_union(old.box, new.box), track, new.track)
        for track, old in before.faces.items()
        for new in frame.faces
    )
    numbers: dict[int, int] = {}
    for overlap, track, new_track in pairs:
        if -overlap >= _SAME_FACE and new_track not in numbers and track not in numbers.values():
            numbers[new_track] = track
    return numbers
