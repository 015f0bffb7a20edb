"""Parts of a clip become one: tracks run on over their borders, landmarks become steady, faces are chosen.

All of it streams, a second ahead of what it gives, and depends on nothing but the parts' contents.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .align import Points
from .cuts import is_cut
from .detector import Box, intersection_over_union
from .seen import SeenFace, SeenFrame
from .smooth import RADIUS_FRAMES, smooth

Selection = Literal["largest", "all"]

# Frames that choosing looks ahead.
LOOK_AHEAD_FRAMES = 25
# Another face takes over where its area is this much greater, and where it stays for a part of those frames.
_TAKE_OVER = 1.5
_LEAST_STAY = 0.5
# Two boxes on both sides of a border that overlap this much are one face.
_SAME_FACE = 0.3


@dataclass(frozen=True)
class LinkedFace:
    """A face of a clip.

    Attributes:
        track: number of its track, unique in the clip; a track never crosses a cut.
        presence: 0..1.
        box: bounds of all landmarks as measured, ``(x0, y0, x1, y1)``, luma px.
        points: its `KEPT_POINTS`, float64 ``[n, 2]``, luma px, smoothed.
        raw: the same as measured.
        chosen: it is to be swapped.
    """

    track: int
    presence: float
    box: Box
    points: Points
    raw: Points
    chosen: bool


@dataclass(frozen=True)
class LinkedFrame:
    """A frame of a clip: its time, its shot, and its faces, the largest first."""

    pts: int
    shot: int
    faces: tuple[LinkedFace, ...]


@dataclass(frozen=True)
class _Joined:
    """A frame whose faces are numbered through the clip, in the order of the part's file."""

    pts: int
    shot: int
    faces: Mapping[int, SeenFace]

    def areas(self) -> dict[int, float]:
        return {track: (face.box[3] - face.box[1]) ** 2 for track, face in self.faces.items()}


def link(parts: Iterable[Iterable[SeenFrame]], select: Selection, *, skip: int = 0) -> Generator[LinkedFrame]:
    """All frames of all parts, in order.

    Args:
        parts: of the clip, in order, from its beginning.
        select: ``all`` faces are chosen, or the ``largest``: at any time one face of the shot. It stays
            chosen until it leaves, or until another is half as large again.
        skip: leave out so many frames at the beginning; costs less than dropping them.
    """
    frames = _chosen(_joined(parts), select)
    before = min(skip, RADIUS_FRAMES)
    steady = smooth(
        islice(frames, skip - before, None),
        lambda item: item[0].pts,
        lambda item: {track: face.points for track, face in item[0].faces.items()},
    )
    for (frame, chosen), points in islice(steady, before, None):
        yield LinkedFrame(
            frame.pts,
            frame.shot,
            tuple(
                LinkedFace(track, face.presence, face.box, points[track], face.points, track in chosen)
                for track, face in frame.faces.items()
            ),
        )


def _joined(parts: Iterable[Iterable[SeenFrame]]) -> Iterator[_Joined]:
    shot = next_track = 0
    before: _Joined | None = None
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
            before = _Joined(frame.pts, shot, {numbers[face.track]: face for face in frame.faces})
            last_thumbnail = frame.thumbnail
            yield before


def _same_faces(before: _Joined, frame: SeenFrame) -> dict[int, int]:
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


def _chosen(frames: Iterator[_Joined], select: Selection) -> Iterator[tuple[_Joined, frozenset[int]]]:
    if select == "all":
        for frame in frames:
            yield frame, frozenset(frame.faces)
        return
    ahead: deque[tuple[_Joined, dict[int, float]]] = deque()
    incumbent: int | None = None
    shot = 0
    exhausted = False
    while True:
        while not exhausted and len(ahead) < LOOK_AHEAD_FRAMES:
            following = next(frames, None)
            if following is None:
                exhausted = True
            else:
                ahead.append((following, following.areas()))
        if not ahead:
            return
        frame = ahead[0][0]
        if frame.shot != shot:
            shot, incumbent = frame.shot, None
        incumbent = _largest([areas for each, areas in ahead if each.shot == shot], incumbent)
        yield frame, frozenset({incumbent} & frame.faces.keys())  # type: ignore[arg-type]
        ahead.popleft()


def _largest(areas: list[dict[int, float]], incumbent: int | None) -> int | None:
    """Of the tracks in ``areas``, those of the frame now and of the frames to come of its shot."""
    now = areas[0]
    if incumbent in now:
        assert incumbent is not None
        for track in now:
            both = [frame for frame in areas if track in frame and incumbent in frame]
            ratio = sum(frame[track] for frame in both) / sum(frame[incumbent] for frame in both)
            if ratio > _TAKE_OVER and len(both) >= _LEAST_STAY * len(areas):
                incumbent = track
        return incumbent
    sums: dict[int, float] = {}
    for frame in areas:
        for track, area in frame.items():
            sums[track] = sums.get(track, 0.0) + area
    return max(sums, key=lambda track: (sums[track], -track)) if sums else None
