"""A blended face as pictures of its own: weight, premultiplied colour, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..face.align import Affine, apply, invert
from ..frame import ColourDescription, Frame, Matrix, Siting, Transfer
from ..kernels import NO_GRAIN, Grain, Mark

_FLOAT_RGB = ColourDescription(Matrix.RGB, True, Siting.LEFT, 32, 0, 0)


@dataclass(frozen=True)
class FaceLayer:
    """One face of one frame, in the box that it can touch.

    Attributes:
        x: first column of the box, px.
        y: first row.
        weight: float32 ``[height, width]`` in 0..1: the kernel's weight of every luma sample.
        colour: float32 ``[height, width, 3]``: R'G'B' as they are blended, times the weight.
        place: float32 ``[height, width, 2]``: where a sample's centre lies in the aligned crop, u to
            the right and v upwards, 0..1 from edge to edge; 0, 0 outside the crop.
        inside: bool ``[height, width]``: that centre lies in the crop.
    """

    x: int
    y: int
    weight: NDArray[np.float32]
    colour: NDArray[np.float32]
    place: NDArray[np.float32]
    inside: NDArray[np.bool_]

    @property
    def rows(self) -> slice:
        return slice(self.y, self.y + self.weight.shape[0])

    @property
    def columns(self) -> slice:
        return slice(self.x, self.x + self.weight.shape[1])

    def held_back(self, holdout: NDArray[np.float32]) -> FaceLayer:
        """The layer beside what a holdout, float32 ``[height, width]`` of the frame, keeps of the source."""
        share = 1 - holdout[self.rows, self.columns]
        return replace(self, weight=self.weight * share, colour=self.colour * share[..., None])

    def over(self, frame: Frame) -> FaceLayer:
        """The layer as a frame of integer R, G, B takes it: no sum with what lies below leaves 0..1.

        Args:
            frame: before this face is blended into it.
        """
        if frame.colour.matrix is not Matrix.RGB or frame.colour.bits == _FLOAT_RGB.bits:
            return self
        boxes = [frame.planes[n][self.rows, self.columns].astype(np.float32) for n in (2, 0, 1)]
        below = np.stack(boxes, axis=-1) / np.float32(frame.colour.white) * (1 - self.weight[..., None])
        return replace(self, colour=np.clip(self.colour + below, 0.0, 1.0) - below)


def face_layer(
    frame: Frame,
    matrix: Affine,
    face: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float64],
    grain: Grain = NO_GRAIN,
    mark: Mark | None = None,
) -> FaceLayer | None:
    """What `kernels.blend` is going to lay over a frame, by that kernel itself, in floats.

    Args:
        frame: before the face is blended into it.
        matrix: float64 ``[2, 3]``, face coordinates to luma coordinates.
        face: RGB float32 ``[3, R, R]``.
        mask: float32 ``[R, R]`` in 0..1.
        colour: float64 ``[3, 4]``, the colour match.
        grain: of the face in the frame.
        mark: the same.

    Returns:
        None where the face's square lies outside the frame.
    """
    size = mask.shape[0]
    corners = apply(matrix, np.array([[0.0, 0.0], [size, 0.0], [0.0, size], [size, size]]))
    if not np.isfinite(corners).all():
        return None
    # Bilinear interpolation reaches half a mask pixel beyond the square.
    reach = np.abs(matrix[:, :2]).sum(axis=1)
    least, most = np.floor(corners.min(axis=0) - reach), np.ceil(corners.max(axis=0) + reach)
    x0, y0 = (int(v) for v in np.clip(least, 0, (frame.width, frame.height)))
    x1, y1 = (int(v) for v in np.clip(most, 0, (frame.width, frame.height)))
    if x1 <= x0 or y1 <= y0:
        return None
    moved = np.array(matrix, np.float64)
    moved[:, 2] -= x0, y0
    below = _Below(frame, slice(y0, y1), slice(x0, x1))
    white, same = np.ones_like(face), np.eye(3, 4)
    weight = (below.blended(moved, white, mask, same) - below.blended(moved, 0 * white, mask, same))[..., 0]
    weight = np.clip(weight / _code_of_white(frame.colour.transfer), 0.0, 1.0)
    first, last = _luma_ends(frame.colour)
    noise = grain.scaled(2.0**frame.colour.padding_bits / float(last - first)).from_corner(x0, y0)
    if mark is not None:
        # From codes of 8 bits of the frame to 255ths of the picture's range.
        unit = 2.0 ** (frame.colour.bits - 8 + frame.colour.padding_bits)
        mark = mark.from_corner(x0, y0).scaled(255 * unit / float(last - first))
    drawn = below.blended(moved, face, mask, colour, noise, mark) - (1 - weight[..., None]) * below.codes
    place, inside = _places(x1 - x0, y1 - y0, moved, size)
    return FaceLayer(x0, y0, weight, drawn, place, inside)


class _Below:
    """A part of a frame as far as it matters to a blend's weights: black, but for PQ and HLG.

    There the source's luma decides where the face gives way to highlights.

    Attributes:
        codes: float32 ``[height, width, 3]``, R'G'B' 0..1.
    """

    def __init__(self, frame: Frame, rows: slice, columns: slice) -> None:
        shape = rows.stop - rows.start, columns.stop - columns.start
        self._colour = replace(_FLOAT_RGB, transfer=frame.colour.transfer)
        self.codes = np.zeros((*shape, 3), np.float32)
        if frame.colour.transfer is Transfer.SDR:
            return
        shown = (2, 0, 1) if frame.colour.matrix is Matrix.RGB else (0, 0, 0)
        black, white = _luma_ends(frame.colour)
        for n, plane in enumerate(shown):
            codes = frame.planes[plane][rows, columns].astype(np.float32)
            self.codes[..., n] = (codes - black) / (white - black)

    def blended(
        self,
        matrix: Affine,
        face: NDArray[np.float32],
        mask: NDArray[np.float32],
        colour: NDArray[np.float64],
        grain: Grain = NO_GRAIN,
        mark: Mark | None = None,
    ) -> NDArray[np.float32]:
        red, green, blue = (self.codes[..., n].copy() for n in range(3))
        below = Frame(0, 0, 0, Fraction(1), (green, blue, red), self._colour, None)
        kernels.blend(below, matrix, face, mask, colour, grain=grain, mark=mark)
        return np.stack([red, green, blue], axis=-1)


def _luma_ends(colour: ColourDescription) -> tuple[np.float32, np.float32]:
    """Codes of black and white of a luma or RGB plane, as they lie in memory."""
    if colour.full_range:
        return np.float32(0), np.float32(colour.white)
    unit = 1 << colour.bits - 8 + colour.padding_bits
    return np.float32(16 * unit), np.float32(235 * unit)


def _code_of_white(transfer: Transfer) -> np.float32:
    """What display white (1) is as a code: 1 but for PQ and HLG."""
    green, blue, red = np.zeros((3, 1, 1), np.float32)
    black = Frame(0, 0, 0, Fraction(1), (green, blue, red), replace(_FLOAT_RGB, transfer=transfer), None)
    # Larger than the sample, whose weight is then 1.
    matrix = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
    kernels.blend(black, matrix, np.ones((3, 3, 3), np.float32), np.ones((3, 3), np.float32), np.eye(3, 4))
    return np.float32(green[0, 0])


def _places(
    width: int, height: int, matrix: Affine, size: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    place = apply(invert(matrix), np.stack([columns, rows], axis=-1)) / size
    inside: NDArray[np.bool_] = np.all((place >= 0.0) & (place <= 1.0), axis=-1)
    place[..., 1] = 1.0 - place[..., 1]
    place[~inside] = 0.0
    return place.astype(np.float32), inside
