"""The quality of one shot, measured while its frames go by: a few sums, and its worst frame of each kind."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .measure import Box, FaceRecord, FrameRecord

Reason = Literal["no face", "not a number", "low presence", "mask jump", "flicker"]
REASONS: tuple[Reason, ...] = ("no face", "not a number", "low presence", "mask jump", "flicker")

# No fault counts for more than this many times its limit.
_MOST_SCORE = 10.0
# Less is nothing to look at, even in the best shot.
_LEAST_SCORE = 0.1
# Share of a face that something must lie before to count as covered.
_LEAST_COVERED = 0.02
# Faces that are gone and may come back.
_MOST_LOST = 64


@dataclass(frozen=True)
class Limits:
    """From where on a frame is worth a look. A score of 1 is at the limit.

    Attributes:
        presence: least; below it a face fades into the source's.
        mask_jump: share of the mask's area that may come or go from one frame to the next.
        flicker_codes: of a shot; a single frame may have three times as much.
    """

    presence: float = 0.8
    mask_jump: float = 0.15
    flicker_codes: float = 1.0


@dataclass(frozen=True)
class Fault:
    """A frame that stands out.

    Attributes:
        reason: the kind.
        score: in units of its limit, 0.1 to 10; below 1 it is only the worst of a good shot.
        frame: number of the frame among those converted, from 0.
        pts: of the frame.
        shot: number of its shot.
        track: whose face, or None.
        box: of the face, or where it was last seen or first comes back, luma px; None where nobody knows.
        says: what is wrong, for people.
    """

    reason: Reason
    score: float
    frame: int
    pts: int
    shot: int
    track: int | None
    box: Box | None
    says: str


@dataclass
class ShotReport:
    """What `report.json` says of a shot.

    Attributes:
        shot: its number.
        first_pts: of its first frame.
        last_pts: of its last frame.
        first_frame: number of its first frame among those converted, from 0.
        frames: in it.
        faces: swapped in it.
        frames_with_face: frames with a swapped face.
        faces_missing: faces that ought to be there and are not, one a frame and person: of tracks that were
            expected, of those that the network failed on, and between two sightings of a face.
        faces_in_fp32: swapped only by a second run of the network.
        faces_not_a_number: left as they were, as the network gave no number.
        faces_low_presence: faces below the limit of presence.
        faces_covered: that something lies before, partly or wholly.
        faces_turned_away: left as they were, as they are turned too far away.
        lowest_presence: of a face; None without a face.
        mask_jumps: faces whose mask is larger or smaller than in the frame before, beyond the limit.
        largest_mask_jump: of any two neighbours, 0..1.
        flicker_codes: see `report`; None without three neighbours with a face.
        worst: the worst frame of each reason that occurs.
    """

    shot: int
    first_pts: int
    last_pts: int
    first_frame: int
    frames: int = 0
    faces: int = 0
    frames_with_face: int = 0
    faces_missing: int = 0
    faces_in_fp32: int = 0
    faces_not_a_number: int = 0
    faces_low_presence: int = 0
    faces_covered: int = 0
    faces_turned_away: int = 0
    lowest_presence: float | None = None
    mask_jumps: int = 0
    largest_mask_jump: float = 0.0
    flicker_codes: float | None = None
    worst: list[Fault] = field(default_factory=list)


@dataclass
class _Seen:
    """What is remembered of a track's face."""

    track: int
    # Its last neighbouring records, at most two, and the frame and time of the newest.
    recent: list[tuple[FaceRecord, NDArray[np.float64]]]
    frame: int
    pts: int
    # First frame and time without it, and how many of those were told as missing already.
    lost: tuple[int, int] | None = None
    told: int = 0

    @property
    def box(self) -> Box | None:
        return self.recent[-1][0].box if self.recent else None


class ShotMeter:
    """Takes in the frames of a shot, in order.

    Args:
        first: its first frame, which is to be added as well.
        first_frame: the number of that among all.
        limits: from where on a frame is worth a look.
    """

    def __init__(self, first: FrameRecord, first_frame: int, limits: Limits) -> None:
        self._report = ShotReport(first.shot, first.pts, first.pts, first_frame)
        self._limits = limits
        self._worst: dict[Reason, Fault] = {}
        self._seen: dict[int, _Seen] = {}
        self._energy, self._bends = 0.0, 0
        self._longest_gap = 0

    def add(self, record: FrameRecord) -> None:
        """One more frame."""
        report = self._report
        number = report.first_frame + report.frames
        report.last_pts = record.pts
        report.frames += 1
        here = [face for face in record.faces if face.is_swapped]
        report.faces += len(here)
        report.frames_with_face += bool(here)
        for face in record.faces:
            self._network(face, number, record.pts)
            self._hidden(face)
        self._miss(record, number)
        for face in sorted(here, key=lambda face: face.track):
            self._face(face, number, record.pts)
        self._forget()

    def finish(self) -> ShotReport:
        """The shot is over."""
        if self._bends:
            self._report.flicker_codes = math.sqrt(self._energy / self._bends)
        self._report.worst = [self._worst[reason] for reason in REASONS if reason in self._worst]
        return self._report

    def _network(self, face: FaceRecord, number: int, pts: int) -> None:
        self._report.faces_in_fp32 += face.outcome == "swapped in fp32"
        if face.outcome == "not a number":
            self._report.faces_not_a_number += 1
            self._tell("not a number", _MOST_SCORE, number, pts, face, "the network gave no number")

    def _hidden(self, face: FaceRecord) -> None:
        self._report.faces_covered += face.covered > _LEAST_COVERED or face.outcome == "covered"
        self._report.faces_turned_away += face.outcome == "turned away"
        seen = self._seen.get(face.track)
        if face.is_hidden and seen is not None:
            # Not lost, but what comes after is no neighbour of what was before.
            seen.recent = []

    def _miss(self, record: FrameRecord, number: int) -> None:
        """Faces that are not there: those expected are told at once, others when they are seen again."""
        swapped = {face.track for face in record.faces if face.is_swapped or face.is_hidden}
        kept = {face.track: face for face in record.faces if face.track not in swapped}
        for seen in self._seen.values():
            if seen.track not in swapped and seen.lost is None:
                seen.lost = number, record.pts
        for track in sorted({*record.expected, *kept} - swapped):
            seen = self._seen.setdefault(track, _Seen(track, [], number, record.pts, (number, record.pts)))
            seen.told += 1
            self._report.faces_missing += 1
            assert seen.lost is not None
            self._tell_gap(seen, number + 1 - seen.lost[0], kept[track].box if track in kept else seen.box)

    def _face(self, face: FaceRecord, number: int, pts: int) -> None:
        seen = self._seen.get(face.track) or self._came_back(face, number)
        length = 0 if seen.lost is None else number - seen.lost[0]
        if length:
            self._report.faces_missing += length - seen.told
            self._tell_gap(seen, length, seen.box or face.box)
            seen.recent = []
        self._presence(face, number, pts)
        assert face.shown is not None and face.source is not None
        difference = np.subtract(face.shown, face.source)
        if seen.recent:
            self._mask(seen.recent[-1][0], face, number, pts)
        if len(seen.recent) == 2:
            (_, before), (at, now) = seen.recent
            self._flicker(at, now - (before + difference) / 2, seen)
        self._seen.pop(seen.track, None)
        recent = [*seen.recent[-1:], (face, difference)]
        self._seen[face.track] = _Seen(face.track, recent, number, pts)

    def _came_back(self, face: FaceRecord, number: int) -> _Seen:
        """Where a new track goes on: a face lost near it, or, if none is in sight, the one lost last."""
        lost = [seen for seen in self._seen.values() if seen.lost is not None and seen.box]
        near = [seen for seen in lost if seen.box and _near(seen.box, face.box)]
        nobody_in_sight = all(seen.lost is not None and seen.lost[0] < number for seen in self._seen.values())
        candidates = near or (lost if nobody_in_sight else [])
        return max(candidates, key=lambda seen: seen.frame, default=_Seen(face.track, [], number, 0))

    def _presence(self, face: FaceRecord, number: int, pts: int) -> None:
        report, least = self._report, self._limits.presence
        report.faces_low_presence += face.presence < least
        lowest = report.lowest_presence
        report.lowest_presence = face.presence if lowest is None else min(face.presence, lowest)
        score = (1 - face.presence) / (1 - least)
        self._tell("low presence", score, number, pts, face, f"presence {face.presence:.2f}")

    def _mask(self, before: FaceRecord, face: FaceRecord, number: int, pts: int) -> None:
        larger = max(before.mask_area, face.mask_area, 1e-6)
        jump = abs(face.mask_area - before.mask_area) / larger
        self._report.mask_jumps += jump > self._limits.mask_jump
        self._report.largest_mask_jump = max(self._report.largest_mask_jump, jump)
        sign = "+" if face.mask_area > before.mask_area else "-"
        self._tell("mask jump", jump / self._limits.mask_jump, number, pts, face, f"mask {sign}{jump:.0%}")

    def _flicker(self, at: FaceRecord, bend: NDArray[np.float64], seen: _Seen) -> None:
        energy = 2 / 3 * float(bend @ bend)
        self._energy += energy
        self._bends += 1
        codes = math.sqrt(energy)
        score = codes / (3 * self._limits.flicker_codes)
        self._tell("flicker", score, seen.frame, seen.pts, at, f"flicker {codes:.1f} codes")

    def _tell_gap(self, seen: _Seen, length: int, box: Box | None) -> None:
        if seen.lost is None or length <= self._longest_gap:
            return
        self._longest_gap = length
        says = f"no face for {length} frame{'s' if length > 1 else ''}"
        score = min(float(length), _MOST_SCORE)
        self._worst["no face"] = Fault("no face", score, *seen.lost, self._report.shot, seen.track, box, says)

    def _tell(self, reason: Reason, score: float, number: int, pts: int, face: FaceRecord, says: str) -> None:
        score = min(score, _MOST_SCORE)
        worst = self._worst.get(reason)
        if score >= _LEAST_SCORE and (worst is None or score > worst.score):
            shot = self._report.shot
            self._worst[reason] = Fault(reason, score, number, pts, shot, face.track, face.box, says)

    def _forget(self) -> None:
        """Only so many faces that are gone are remembered, the latest."""
        if len(self._seen) > _MOST_LOST:
            lost = [seen for seen in self._seen.values() if seen.lost is not None]
            for seen in sorted(lost, key=lambda seen: seen.frame)[:-_MOST_LOST]:
                del self._seen[seen.track]


def _near(box: Box, other: Box) -> bool:
    """Whether the centres lie within one face of each other."""
    across, down = (abs(box[n] + box[n + 2] - other[n] - other[n + 2]) / 2 for n in (0, 1))
    return across < max(box[2] - box[0], other[2] - other[0]) and down < max(
        box[3] - box[1], other[3] - other[1]
    )
