"""A face that moves fast is blurred along its way, as far as the plate's is.

How far a face goes from a frame to the next is known; how much of that time the shutter was open is not. It
is told by the plate's face: where it moved while it was exposed, it is flatter along the way than across it,
beside the new face. Of a plate that is as steep in both directions, as a short shutter leaves it, nothing is
blurred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import apply, invert
from ..frame import LUMA_SHARES, Matrix
from .cast import AnyFrame, Work
from .steady_match import Measured
from .texture import Blur, blur_of_px

# Heights of the face, a frame: a shorter way leaves no blur that could be told.
_LEAST_WAY = 0.06
# Edges along the way over those across it, as steepness of the plate's over the new face's. Sharp plates are
# above the first (98 of 100 faces, as no two have edges alike); from the second on they are blurred in full.
_SHARP, _BLURRED = 0.88, 0.82
# Shares of the way that the shutter may have been open.
_SHARES = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
# Two blurs, px of the face, whose gradients tell how steep an edge is.
_FINE_PX, _WIDE_PX = 0.7, 3.0
# Networks draw softer edges than a plate has at rest, where a blur counts less: passes that help against it.
_AS_SHARP = 1.5, 1.5
_LUMA = np.array(LUMA_SHARES[Matrix.BT709], np.float32)


class Ways:
    """How far faces go from frame to frame.

    Args:
        measured: of the frames before the first one.
    """

    def __init__(self, measured: Sequence[Measured] = ()) -> None:
        self._last = {each.track: (each.frame, each.shot, each.placed) for each in measured}

    def of(self, work: Work[AnyFrame], size_px: int, face_px: float) -> NDArray[np.float64] | None:
        """From the frame before, ``[2]`` in px of the face; None where it hardly moves, or nobody knows.

        Args:
            work: of the face.
            size_px: side of its own picture.
            face_px: its height in that.
        """
        before = self._last.get(work.face.track)
        if before is None or before[:2] != (work.frame.index - 1, work.shot) or before[2] is None:
            return None
        middle = np.full((1, 2), size_px / 2)
        way: NDArray[np.float64] = (middle - apply(invert(work.drawn_placed), apply(before[2], middle)))[0]
        return way if math.hypot(*way) >= _LEAST_WAY * face_px else None

    def note(self, work: Work[AnyFrame]) -> None:
        """For the next frame; of faces that are measured, as whoever goes on from here knows no others."""
        self._last[work.face.track] = work.frame.index, work.shot, work.drawn_placed


def shutter_share(
    drawn: NDArray[np.float32],
    source: NDArray[np.float32],
    mask: NDArray[np.float32],
    way: NDArray[np.float64],
) -> float:
    """Of the time between two frames, how long the plate was exposed, as far as its face tells: 0..1.

    Args:
        drawn: the new face, float32 ``[3, R, R]``.
        source: the old one.
        mask: float32 ``[R, R]``, what is face.
        way: ``[2]``, px from one frame to the next.
    """
    along = way / math.hypot(*way)
    sharp = drawn
    for amount in _AS_SHARP:
        sharp = kernels.sharpen(sharp, _FINEST.taps, amount)
    told = np.array([_steepness(_blurred(sharp, way * share), mask, along) for share in _SHARES])
    found = _steepness(source, mask, along) / told[0]
    # The longer the blur, the flatter.
    share = float(np.interp(-found, -np.minimum.accumulate(told / told[0]), _SHARES))
    return float(share * min(max((_SHARP - found) / (_SHARP - _BLURRED), 0.0), 1.0))


def motion_blurred(
    drawn: NDArray[np.float32],
    source: NDArray[np.float32],
    mask: NDArray[np.float32],
    way: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The new face with the plate's motion blur; the same array where it has none. Arguments as above."""
    share = shutter_share(drawn, source, mask, way)
    return drawn if share <= 0 else _blurred(drawn, way * share)


def _blurred(face: NDArray[np.float32], way: NDArray[np.float64]) -> NDArray[np.float32]:
    """The mean of a face on its way, whose middle is where the face was."""
    taps = math.ceil(math.hypot(*way)) + 1
    margin = math.ceil(float(np.abs(way).max()) / 2) + 1
    size_px = face.shape[-1]
    around = np.pad(face, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    total = np.zeros_like(face)
    for time in (np.arange(taps) + 0.5) / taps - 0.5:
        (x, right), (y, down) = (divmod(margin + float(each) * time, 1.0) for each in way)
        for row, of_row in ((int(y), 1.0 - down), (int(y) + 1, down)):
            for column, of_column in ((int(x), 1.0 - right), (int(x) + 1, right)):
                part = around[:, row : row + size_px, column : column + size_px]
                total += part * np.float32(of_row * of_column / taps)
    return total


def _steepness(face: NDArray[np.float32], mask: NDArray[np.float32], along: NDArray[np.float64]) -> float:
    """Of a face's edges along a direction over those across it; strong and weak ones count alike."""
    across = np.array([-along[1], along[0]])
    fine, wide = (_gradients(_smooth(face, blur), mask) for blur in (_FINE, _WIDE))
    flat = 1e-12
    of_along, of_across = (
        (float(each @ fine @ each) + flat) / (float(each @ wide @ each) + flat) for each in (along, across)
    )
    return math.sqrt(of_along / of_across)


def _smooth(face: NDArray[np.float32], blur: Blur) -> NDArray[np.float32]:
    detail = np.empty(face.shape[1:], np.float32)
    kernels.detail(face, blur.taps, detail)
    luma: NDArray[np.float32] = np.tensordot(_LUMA, face, 1)
    return luma - detail


def _gradients(luma: NDArray[np.float32], mask: NDArray[np.float32]) -> NDArray[np.float64]:
    """The structure tensor ``[2, 2]`` under a mask (Foerstner and Guelch, ISPRS 1987)."""
    down, across = np.gradient(luma)
    both = np.stack([across.ravel(), down.ravel()]).astype(np.float64)
    tensor: NDArray[np.float64] = (both * mask.ravel()) @ both.T
    return tensor


_FINE, _FINEST, _WIDE = blur_of_px(_FINE_PX), blur_of_px(1.0), blur_of_px(_WIDE_PX)
