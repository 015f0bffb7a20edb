"""What of a face must come through when another face is drawn in its place: points, and how its eyes are.

Two people differ in shape, so it is not the points themselves that are compared but how far they are from a
person's own face at rest. That is measured once from the faceset, as seen from straight ahead: the median of
faces whose mouth is shut, since a person who talks all through a clip would have open lips at rest otherwise.
The difference between two people's rest is then turned as the head is. How far a mouth opens is not scaled by
how far each person's did in the clips: that says more of the clips, and an open mouth looks as open as it is.
Eyes are another matter, as they rest open: they count relative to the person's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..engine.face.eyes import eye_contrast
from .audit.expression import eye_open, mouth_open
from .audit.pose import SHAPE, Pose, fit_pose, frontal

# The landmarks that are compared: those whose depth is known, as a turned head needs it.
POINTS = tuple(SHAPE)
# The same points of a mean face that looks straight ahead, `[K,2]` face heights around the crop's centre.
MEAN_FACE = torch.tensor([SHAPE[index][:2] for index in POINTS])
# Place in `POINTS` of each point's counterpart on the other side of the face.
_PLACES = list(SHAPE.values())
MIRRORED = torch.tensor([_PLACES.index((-x, y, z)) for x, y, z in _PLACES])
# Differences are of this unit, so that a mouth wide open and an eye that closes are about 1.
UNIT_FACE_HEIGHTS = 0.1

# Each part of a face counts as much as another, whatever the number of its points.
# fmt: off
_LIPS = (0, 13, 14, 17, 61, 78, 291, 308)
_LIDS = (33, 133, 144, 145, 153, 158, 159, 160, 263, 362, 373, 374, 380, 385, 386, 387)
_BROWS = (55, 63, 66, 70, 105, 107, 285, 293, 296, 300, 334, 336)
# fmt: on
_REST = tuple(index for index in POINTS if index not in {*_LIPS, *_LIDS, *_BROWS})
_PARTS = (_LIPS, _LIDS, _BROWS, _REST)


def _part_weights() -> Tensor:
    places = torch.zeros(len(POINTS))
    for part in _PARTS:
        places[[POINTS.index(index) for index in part]] = 1 / len(part)
    return torch.cat((places.repeat_interleave(2), torch.ones(1))) / (len(_PARTS) + 1)


# Of x and y of each point, and of how far the eyes are open: `[2K+1]`.
PART_WEIGHTS = _part_weights()

# Of the faces that are least turned, those whose mouth is most shut are at rest.
_STRAIGHT_SHARE, _SHUT_SHARE = 0.5, 0.25


class FacePoints(NamedTuple):
    """Of N faces in a picture; lengths in half its sides, so that it is -1..1 wide, as `grid_sample` has it.

    Attributes:
        places: float32 `[N,K,2]`, x and y of `POINTS`.
        eyes: float32 `[N,1]`, how far they are open; 1 is usual with this person.
        turn: float32 `[N,2,2]` to multiply row vectors with, from a face that looks straight ahead, in face
            heights, to this one.
        rest: float32 `[N,K,2]` face heights: the person's own face, at rest, straight ahead and symmetric.
    """

    places: Tensor
    eyes: Tensor
    turn: Tensor
    rest: Tensor

    def to(self, device: torch.device, *, pinned: bool = False) -> FacePoints:
        """On another device; through pinned memory the copy runs beside what that one computes."""
        parts = (part.pin_memory() if pinned else part for part in self)
        return FacePoints(*(part.to(device, non_blocking=pinned) for part in parts))

    def at(self, index: Tensor | slice) -> FacePoints:
        """Some of the faces."""
        return FacePoints(*(part[index] for part in self))

    def moved(self, move: Tensor, shift: Tensor, span: float) -> FacePoints:
        """As they lie in pictures that are cut out of these ones.

        Args:
            move: `[N,2,2]`, a turn, a scale, and for some faces a mirror.
            shift: `[N,2]`; a point p of the new picture shows the point ``(p @ move + shift) * span``.
            span: of the new pictures over these ones.
        """
        back = move.mT / (move.square().sum(dim=(-2, -1), keepdim=True) / 2)
        places = (self.places / span - shift[:, None]) @ back
        turn = self.turn / span @ back
        mirrored = (torch.linalg.det(move) < 0)[:, None, None]
        # The right corner of a mirrored mouth is where the left one was.
        places = torch.where(mirrored, places[:, MIRRORED.to(places.device)], places)
        turn = torch.where(mirrored, _other_side(turn.mT).mT, turn)
        return FacePoints(places, self.eyes, turn, self.rest)

    def as_other(self, rest: Tensor) -> Tensor:
        """How far each point would lie from where it does, if another person's face did the same: `[N,K,2]`.

        Args:
            rest: of the other person, `[K,2]`.
        """
        return (rest - self.rest) @ self.turn


@dataclass(frozen=True)
class Watched:
    """What faces do, from their landmarks and pixels.

    Attributes:
        pose: of all of them.
        ahead: of `frontal`.
        eyes_open: float64 `[N]` of `eye_open`.
    """

    pose: Pose
    ahead: Mapping[int, NDArray[np.float64]]
    eyes_open: NDArray[np.float64]


def watch(faces: Tensor, landmarks: NDArray[np.floating]) -> Watched:
    """Looks at all faces of one person.

    Args:
        faces: uint8 `[N,C,T,T]`, R, G, B first.
        landmarks: `[N,468,2]`, px of the faces.
    """
    pose = fit_pose(landmarks)
    contrast = [
        eye_contrast(face[:3].permute(1, 2, 0).numpy(), points)
        for face, points in zip(faces, landmarks, strict=True)
    ]
    return Watched(pose, frontal(landmarks, pose), eye_open(np.array(contrast)))


def face_points(watched: Watched, landmarks: NDArray[np.floating], side_px: int) -> FacePoints:
    """The points of faces in pictures of ``side_px``; arguments as of `watch`."""
    pose, half_px = watched.pose, side_px / 2
    places = np.asarray(landmarks, np.float64)[:, list(POINTS)] / half_px - 1
    turn = np.swapaxes(pose.scale[:, None, None] * pose.rotation[:, :2, :2], 1, 2) / half_px
    rest = np.broadcast_to(at_rest(watched), (len(places), len(POINTS), 2))
    parts = places, watched.eyes_open[:, None], turn, rest
    numbers = (np.nan_to_num(part, posinf=0.0, neginf=0.0).astype(np.float32) for part in parts)
    return FacePoints(*(torch.from_numpy(np.ascontiguousarray(part)) for part in numbers))


def at_rest(watched: Watched) -> NDArray[np.float64]:
    """The person's own face: `[K,2]` face heights, straight ahead, its mouth shut, symmetric.

    It is symmetric because mirrored faces are learnt beside the others.
    """
    ahead = np.stack([watched.ahead[index] for index in POINTS], axis=1)
    # Landmarks of no face at all have no pose.
    known = np.flatnonzero(np.isfinite(ahead).all(axis=(1, 2)))
    if not len(known):
        return MEAN_FACE.double().numpy()
    yaw, pitch, gap = (
        each[known] for each in (watched.pose.yaw_deg, watched.pose.pitch_deg, mouth_open(watched.ahead))
    )
    straight = _least(np.hypot(yaw, pitch - np.median(pitch)), _STRAIGHT_SHARE)
    shut = straight[_least(gap[straight], _SHUT_SHARE)]
    rest = np.median(ahead[known[shut]], axis=0)
    symmetric: NDArray[np.float64] = (rest + rest[MIRRORED.numpy()] * (-1.0, 1.0)) / 2
    return symmetric


def _least(values: NDArray[np.float64], share: float) -> NDArray[np.intp]:
    """Where the least of ``values`` are, at least one of them."""
    return np.argsort(values, kind="stable")[: max(1, round(len(values) * share))]


def _other_side(vectors: Tensor) -> Tensor:
    """Row vectors `[...,2]` with the other sign of x."""
    return vectors * vectors.new_tensor((-1.0, 1.0))
