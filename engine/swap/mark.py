"""The imperceptible mark of each face that is drawn; what it says, and where, is in `provenance.mark`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import Affine, compose, crop_to_frame, invert
from ..frame import LUMA_SHARES, ColourDescription, Matrix
from ..provenance.mark.pattern import COVERAGE, SIDE, chips, signs_of
from ..provenance.mark.payload import Payload
from .cast import AnyFrame, Work


class Placed(NamedTuple):
    """Affines ``[2, 3]`` from a mark's chips: to luma px, and to px of the face as it is drawn."""

    to_luma: Affine
    to_face: Affine


class Marker:
    """Makes the marks of one conversion's faces.

    A mark depends on its face alone: the same in whatever order and by whomever frames are made.

    Args:
        payload: what they say.
        display: of `VideoInfo.display`.
    """

    def __init__(self, payload: Payload, display: NDArray[np.float64]) -> None:
        self.signs = signs_of(payload)
        self._display = display

    def mark(
        self,
        work: Work[AnyFrame],
        face: NDArray[np.float32],
        weight: NDArray[np.float32],
        luma: NDArray[np.float64],
    ) -> kernels.Mark:
        """Of one face.

        Args:
            work: where it is.
            face: RGB float32 ``[3, R, R]``, sharp and with its curves, before its colour match.
            weight: float32 ``[R, R]``, its share in the frame.
            luma: of `luma_row`.
        """
        placed = self.placed(work)
        made = kernels.mark(face, weight, luma, placed.to_face, chips(), self.signs)
        return kernels.Mark(made, invert(placed.to_luma))

    def placed(self, work: Work[AnyFrame]) -> Placed:
        """Of one face."""
        to_luma = crop_to_frame(work.face.landmarks, size_px=SIDE, coverage=COVERAGE, display=self._display)
        return Placed(to_luma, compose(invert(work.drawn_placed), to_luma))


def luma_row(frame: ColourDescription, match: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 ``[4]``: luma in codes of 8 bits of a face pixel (r, g, b, 1), as it is before its match.

    PQ and HLG are taken as they are shown: a mark's strength is exact for SDR only.

    Args:
        frame: colours of the frame.
        match: float64 ``[3, 4]``, of the face's colours.
    """
    row: NDArray[np.float64] = luma_scale(frame) * (np.array(LUMA_SHARES[frame.matrix]) @ match)
    return row


def luma_scale(frame: ColourDescription) -> float:
    """Codes of 8 bits from black to white."""
    return 255.0 if frame.full_range or frame.matrix is Matrix.RGB else 219.0
