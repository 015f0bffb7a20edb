"""What two series of looks, of a source and of what was made of it, have in common.

All take arrays with one row a frame, of frames in which both have a face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossface.engine.face.align import apply, similarity

from .pose import angle_deg, mean_rotation

Series = NDArray[np.float64]

OUTER_EYES = (36, 45)
INNER = slice(17, 68)
# Upper and lower edge of the inner lips.
_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
# The middle of the lids; nearer to the corners they hardly move.
_LID_PAIRS = ((3, 11), (4, 12), (5, 13))
# An eye is shut below this share of how far it is open, which is the 90th percentile of the clip.
_SHUT = 0.55
_OPEN_PERCENTILE = 90
# A blink may come this many frames too soon or too late.
_NEAR_FRAMES = 2
# What rounding makes of a constant.
_STILL = 1e-9
# A correlation of what hardly moves is one of noise.
LEAST_MOUTH_SPREAD, LEAST_EYE_SPREAD, LEAST_GAZE_SPREAD = 0.01, 0.02, 0.03


def eye_distance(landmarks: Series) -> Series:
    """Between the outer corners of the eyes: ``[N]`` of ``[N, 68, 2]``, in the landmarks' unit."""
    left, right = (landmarks[:, corner] for corner in OUTER_EYES)
    return _distance(left, right)


def mouth_opening(landmarks: Series) -> Series:
    """Mean gap between the inner lips over the eye distance: ``[N]`` of ``[N, 68, 2]``."""
    gaps = [_distance(landmarks[:, low], landmarks[:, high]) for high, low in _LIP_PAIRS]
    return np.asarray(np.mean(gaps, axis=0) / eye_distance(landmarks))


def eye_opening(lids: Series) -> Series:
    """Mean over both eyes of the gap between the lids over the eye's width: ``[N]`` of ``[N, 2, 16, 2]``.

    The eye aspect ratio of Soukupova and Cech (CVWW 2016), by the three middle pairs of lid points.
    """
    gaps = [_distance(lids[:, :, low], lids[:, :, high]) for low, high in _LID_PAIRS]
    width = _distance(lids[:, :, 0], lids[:, :, 8])
    return np.asarray((np.mean(gaps, axis=0) / width).mean(axis=1))


def gaze(lids: Series, irises: Series) -> Series:
    """Where the irises lie between the eyes' corners: ``[N]``, 0 on the picture's left, 1 on its right.

    Args:
        lids: ``[N, 2, 16, 2]``.
        irises: ``[N, 2, 2]``.
    """
    # The inner corner is the right one of the eye on the left.
    left = np.stack([lids[:, 0, 8], lids[:, 1, 0]], axis=1)
    along = np.stack([lids[:, 0, 0], lids[:, 1, 8]], axis=1) - left
    shares = ((irises - left) * along).sum(axis=2) / (along * along).sum(axis=2)
    return np.asarray(shares.mean(axis=1))


def correlation(source: Series, result: Series, least_spread: float = 0.0) -> float | None:
    """Pearson's correlation; None where the source hardly moves, 0 where it does and the result stands still.

    Args:
        source: ``[N]``.
        result: ``[N]``.
        least_spread: standard deviation of the source below which there is nothing to follow.
    """
    if source.std() <= max(least_spread, _STILL):
        return None
    if result.std() <= _STILL:
        return 0.0
    return float(np.corrcoef(source, result)[0, 1])


@dataclass(frozen=True)
class Blinks:
    """Times that the eyes shut: of the source, of the result, and those that both have."""

    source: int
    result: int
    both: int

    @property
    def recall(self) -> float | None:
        """Share of the source's that the result has; None without any."""
        return self.both / self.source if self.source else None


def blinks(source: Series, result: Series) -> Blinks:
    """Compares when eyes are shut, by openings ``[N]``; each is judged by how open its own are at most."""
    shut = [_shut(opening) for opening in (source, result)]
    runs = [_runs(each) for each in shut]
    both = sum(
        bool(shut[1][max(first - _NEAR_FRAMES, 0) : last + 1 + _NEAR_FRAMES].any()) for first, last in runs[0]
    )
    return Blinks(len(runs[0]), len(runs[1]), both)


@dataclass(frozen=True)
class InnerError:
    """How far brows, nose, eyes and mouth lie from the source's, in percent of its eye distance.

    Attributes:
        whole: mean distance, after a similarity transform.
        moving: the same after each landmark's mean offset over the clip is taken away: what two faces of
            different shape can reach, too.
    """

    whole: float
    moving: float


def inner_error(source: Series, result: Series) -> InnerError:
    """Of landmarks ``[N, 68, 2]``. Each result is laid over its source by least squares first."""
    pairs = zip(source[:, INNER], result[:, INNER], strict=True)
    offsets = np.stack([apply(similarity(theirs, ours), theirs) - ours for ours, theirs in pairs])
    # Upright, so that a turning head does not turn a steady offset into a moving one.
    eyes = source[:, OUTER_EYES[1]] - source[:, OUTER_EYES[0]]
    right = (eyes / eye_distance(source)[:, None])[:, None]
    down = np.stack([-right[..., 1], right[..., 0]], axis=-1)
    upright = np.stack([(offsets * right).sum(axis=2), (offsets * down).sum(axis=2)], axis=2)
    upright *= 100.0 / eye_distance(source)[:, None, None]
    return InnerError(
        *(float(np.hypot(*each.T).mean()) for each in (upright, upright - upright.mean(axis=0)))
    )


@dataclass(frozen=True)
class PoseError:
    """How far the head is turned away from the source's, in degrees.

    Attributes:
        whole: mean angle. A few degrees of it may be the two people's shape, as a longer nose looks like a
            lower chin: see `pose`.
        moving: the same after the mean turn over the clip is taken away. It knows nothing of shape, nor of a
            head that always looks elsewhere.
        spread: what ``moving`` would be of a result that stands still: how far the source turns.
    """

    whole: float
    moving: float
    spread: float


def pose_error(source: Series, result: Series) -> PoseError:
    """Of rotations ``[N, 3, 3]``."""
    apart = np.swapaxes(source, 1, 2) @ result
    return PoseError(
        _mean_angle(apart, np.eye(3)),
        _mean_angle(apart, mean_rotation(apart)),
        _mean_angle(source, mean_rotation(source)),
    )


def _mean_angle(rotations: Series, reference: NDArray[np.float64]) -> float:
    return float(np.mean([angle_deg(reference, each) for each in rotations]))


def identity_change(source: Series, result: Series, target: Series) -> float:
    """How far it is on the way from the source's person to the target's: 0 for an untouched clip.

    It is 1 for a perfect swap: the result's mean embedding, projected on the line through the other two's.

    Args:
        source: embeddings ``[N, 128]``.
        result: the same.
        target: embeddings of the target's person, ``[M, 128]``.

    Raises:
        ValueError: source and target are the same.
    """
    here, there, made = (each.mean(axis=0) for each in (source, target, result))
    way = there - here
    if not way.any():
        raise ValueError("source and target are the same person, by every number")
    return float((made - here) @ way / (way @ way))


def _distance(one: Series, other: Series) -> Series:
    return np.asarray(np.linalg.norm(one - other, axis=-1))


def _shut(opening: Series) -> NDArray[np.bool_]:
    if not len(opening):
        return np.zeros(0, np.bool_)
    return opening < _SHUT * float(np.percentile(opening, _OPEN_PERCENTILE))


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(first), int(last) - 1) for first, last in edges.reshape(-1, 2)]
