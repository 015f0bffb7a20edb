"""Which tracks are faces worth a swap, and which of them are chosen: by size, place, number, or who it is.

It streams: a frame is decided by the frames before it and by so many to come.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .bridge import TrackedFrame
from .person import LOOK_NUMBERS, Person, unpacked
from .seen import SeenFace

# One face of a shot at any time; or every face.
RANKED = ("largest", "smallest", "left", "right")
SELECTIONS = (*RANKED, "all")
# Before the px of a place: the face nearest to it.
_AT = "at:"
Dropped = Literal["short", "low presence"]

# Frames that choosing looks ahead.
LOOK_AHEAD_FRAMES = 25
# A track of fewer frames is dropped, unless its shot is as short.
LEAST_FRAMES = 5
# And one whose presence is lower than this on average, until it is higher.
LEAST_MEAN_PRESENCE = 0.7
# Another face takes over where it outdoes this much, and where it stays for a part of those frames.
_TAKE_OVER = 1.5
_LEAST_STAY = 0.5
# What ranks by place knows better and worse, but no measure: whoever comes second has this of the first.
_SECOND = 0.5


@dataclass(frozen=True)
class ChosenFrame:
    """A frame of a clip.

    Attributes:
        frame: as it was tracked.
        chosen: tracks of faces that are to be swapped.
        dropped: tracks that are no faces worth it, and why.
    """

    frame: TrackedFrame
    chosen: frozenset[int]
    dropped: Mapping[int, Dropped]


# Of a frame, by their tracks.
Faces = Mapping[int, SeenFace]
Ranks = Callable[[Faces], dict[int, float]]


def names_faces(select: str) -> bool:
    """Whether it is a selection that stands for itself: a name, a place, or numbers of tracks."""
    return select in SELECTIONS or _place(select) is not None or _tracks(select) is not None


def check_selection(select: str, person: str) -> None:
    """Raises UsageError for a selection that `choose` does not know."""
    if select == "person":
        Person.parse(person)
    elif not names_faces(select):
        raise UsageError(
            f"faces of {select!r}: give {', '.join(SELECTIONS)}, numbers of tracks as 0,3, "
            f"a place as {_AT}640,360, or a picture"
        )


def choose(frames: Iterator[TrackedFrame], select: str, person: str = "") -> Iterator[ChosenFrame]:
    """Drops tracks that are too short or hardly faces, and chooses among the others.

    Args:
        frames: all of a clip, in order, their tracks without holes.
        select: ``all``; ``largest``, ``smallest``, the one farthest to the ``left`` or ``right``, or nearest
            to a place in luma px, as ``at:640,360``: at any time one face of the shot, which stays chosen
            until it leaves or another is clearly more so; numbers of tracks as ``"0,3"``; or ``person``.
        person: whom ``person`` means, as `Person.text` gives it.

    Raises:
        UsageError: no such selection.
    """
    check_selection(select, person)
    jury = _jury(select, person)
    judge = _Judge()
    ahead: deque[TrackedFrame] = deque()
    for frame in frames:
        ahead.append(frame)
        jury.meet(frame)
        if len(ahead) == LOOK_AHEAD_FRAMES:
            yield _decided(ahead, judge, jury)
            ahead.popleft()
    while ahead:
        yield _decided(ahead, judge, jury)
        ahead.popleft()


def _decided(ahead: deque[TrackedFrame], judge: _Judge, jury: _Jury) -> ChosenFrame:
    now = ahead[0]
    shot = [frame.faces for frame in ahead if frame.shot == now.shot]
    dropped = judge.dropped(now, shot)
    kept: list[Faces] = shot
    if dropped:
        kept = [{track: face for track, face in faces.items() if track not in dropped} for faces in shot]
    return ChosenFrame(now, jury.chosen(now.shot, kept), dropped)


@dataclass
class _Judge:
    """Tells tracks that are no faces worth a swap; a track that was kept once stays so."""

    kept: set[int] = field(default_factory=set)
    frames: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    shot: int = -1
    shot_frames: int = 0

    def dropped(self, now: TrackedFrame, shot: list[Faces]) -> dict[int, Dropped]:
        """Of a frame's tracks; ``shot`` are the faces of this frame and of those to come of its shot."""
        if now.shot != self.shot:
            # A track never crosses a cut.
            self.shot, self.shot_frames = now.shot, 0
            self.kept.clear()
            self.frames.clear()
        reasons: dict[int, Dropped] = {}
        least = min(LEAST_FRAMES, self.shot_frames + len(shot))
        for track in now.faces:
            if track not in self.kept:
                presence = [faces[track].presence for faces in shot if track in faces]
                if self.frames[track] + len(presence) < least:
                    reasons[track] = "short"
                elif sum(presence) < LEAST_MEAN_PRESENCE * len(presence):
                    reasons[track] = "low presence"
                else:
                    self.kept.add(track)
            self.frames[track] += 1
        self.shot_frames += 1
        return reasons


class _Jury:
    """Chooses every face."""

    def meet(self, frame: TrackedFrame) -> None:
        """Is told of every frame before any of those that it helps to decide."""

    def chosen(self, shot: int, frames: list[Faces]) -> frozenset[int]:
        """Of the first of the frames, which are those to come of the shot."""
        return frozenset(frames[0])


class _Numbers(_Jury):
    def __init__(self, tracks: frozenset[int]) -> None:
        self._tracks = tracks

    def chosen(self, shot: int, frames: list[Faces]) -> frozenset[int]:
        return self._tracks & frames[0].keys()


class _Ranked(_Jury):
    """Whoever is first in rank, in this frame and those to come, and stays so until clearly outdone."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._shot = -1
        self._incumbent: int | None = None

    def chosen(self, shot: int, frames: list[Faces]) -> frozenset[int]:
        if shot != self._shot:
            self._shot, self._incumbent = shot, None
        if frames[0].keys() == {self._incumbent}:
            return frozenset(frames[0])  # nobody is there to outdo it
        self._incumbent = self._first([self._ranks(faces) for faces in frames])
        return frozenset() if self._incumbent is None else frozenset({self._incumbent} & frames[0].keys())

    def _first(self, ranks: list[dict[int, float]]) -> int | None:
        now, incumbent = ranks[0], self._incumbent
        if incumbent in now:
            assert incumbent is not None
            for track in now:
                both = [frame for frame in ranks if track in frame and incumbent in frame]
                ratio = sum(frame[track] for frame in both) / sum(frame[incumbent] for frame in both)
                if ratio > _TAKE_OVER and len(both) >= _LEAST_STAY * len(ranks):
                    incumbent = track
            return incumbent
        sums: dict[int, float] = {}
        for frame in ranks:
            for track, rank in frame.items():
                sums[track] = sums.get(track, 0.0) + rank
        return max(sums, key=lambda track: (sums[track], -track)) if sums else None


class _Known(_Jury):
    """Whoever looks most like one person, if like that person at all."""

    def __init__(self, person: Person) -> None:
        self._person = person
        self._looks: dict[int, _MeanLook] = defaultdict(_MeanLook)
        self._found: set[int] = set()

    def meet(self, frame: TrackedFrame) -> None:
        for track, face in frame.faces.items():
            if face.look:
                self._looks[track].add(face.look)

    def chosen(self, shot: int, frames: list[Faces]) -> frozenset[int]:
        distances = {
            track: self._person.distance(self._looks[track].mean)
            for track in frames[0]
            if track in self._looks
        }
        alike = [
            track
            for track, distance in distances.items()
            if self._person.is_like(distance, found=track in self._found)
        ]
        if not alike:
            return frozenset()
        nearest = min(alike, key=lambda track: (distances[track], track))
        self._found.add(nearest)
        return frozenset({nearest})


@dataclass
class _MeanLook:
    """Of a track, as far as it was met."""

    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(LOOK_NUMBERS))
    count: int = 0

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.total / self.count

    def add(self, look: bytes) -> None:
        self.total, self.count = self.total + unpacked(look), self.count + 1


def _jury(select: str, person: str) -> _Jury:
    if select == "person":
        return _Known(Person.parse(person))
    if select == "all":
        return _Jury()
    if select in RANKED:
        return _Ranked({"largest": _areas, "smallest": _smallest, "left": _left, "right": _right}[select])
    place = _place(select)
    if place is not None:
        return _Ranked(functools.partial(_nearest, place))
    tracks = _tracks(select)
    assert tracks is not None
    return _Numbers(tracks)


def _place(select: str) -> tuple[float, float] | None:
    words = select.removeprefix(_AT).split(",")
    if not select.startswith(_AT) or len(words) != 2 or not all(word.strip().isdecimal() for word in words):
        return None
    return float(words[0]), float(words[1])


def _tracks(select: str) -> frozenset[int] | None:
    words = select.split(",")
    return frozenset(map(int, words)) if all(word.strip().isdecimal() for word in words) else None


def _areas(faces: Faces) -> dict[int, float]:
    return {track: (face.box[3] - face.box[1]) ** 2 for track, face in faces.items()}


def _smallest(faces: Faces) -> dict[int, float]:
    return {track: 1.0 / max(area, 1.0) for track, area in _areas(faces).items()}


def _left(faces: Faces) -> dict[int, float]:
    return _by_place({track: face.box[0] + face.box[2] for track, face in faces.items()})


def _right(faces: Faces) -> dict[int, float]:
    return _by_place({track: -face.box[0] - face.box[2] for track, face in faces.items()})


def _nearest(place: tuple[float, float], faces: Faces) -> dict[int, float]:
    boxes = {track: face.box for track, face in faces.items()}
    return _by_place(
        {track: math.dist(place, ((x0 + x1) / 2, (y0 + y1) / 2)) for track, (x0, y0, x1, y1) in boxes.items()}
    )


def _by_place(places: Mapping[int, float]) -> dict[int, float]:
    first = min(places, key=lambda track: (places[track], track), default=None)
    return {track: 1.0 if track == first else _SECOND for track in places}
