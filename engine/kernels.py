"""The pixel kernels: the one door to the C++ extension.

Every kernel works on the decoder's planes as they are (see ``Frame``), in every pixel format of
``video.planes``, releases the GIL, and gives the same bits on every x86-64 CPU and for any number of
threads. Positions are continuous: sample ``i`` covers ``[i, i + 1)``.

R'G'B' is nominally 0..1 from black to white. Codes beyond the nominal range (super-white, footroom, colours
out of gamut) give values slightly beyond, and only ``blend`` clamps, to what the depth can hold. So a face
that is cropped and laid back at the same scale returns every code within 1, whatever the picture.

PQ and HLG are shown like SDR: each channel goes through one monotone curve without an end, which takes black
to 0, diffuse white (203 cd/m2, ITU-R BT.2408) to 0.9, 1000 cd/m2 to 1.07 and 10000 cd/m2 to 1.2; ``blend``
goes back the same way. kernels/curve_tables.cpp derives it from ITU-R BT.2100. There and back in fp32 costs
less than 1 code at 12 bits; in fp16 up to 1 at 10 bits, at 12 bits 1 up to diffuse white and 3 above.

``threads`` is the most that may share a call: 1 to 64, or 0 for the cores that this process may use, but at
most 4. Small work stays on the calling thread.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from . import _native
from .frame import ColourDescription, Frame

_Pixel = TypeVar("_Pixel", np.float32, np.float16)

# Mean ``[3]``, covariance ``[3, 3]``, and the sum of the weights.
Moments = tuple[NDArray[np.float64], NDArray[np.float64], float]

_kernels = _native.Kernels(_native.isa_variants()[-1])


class Grain(NamedTuple):
    """Noise that a face is given: white, filtered by ``[side, centre, side]`` along both axes.

    A sample's noise depends on its place and on the seed alone (kernels/common/grain.h).

    Attributes:
        sigma: deviation in codes of the frame; 0 for none.
        centre: ``centre**2 + 2 * side**2`` is 1.
        side: 0 for white noise.
        seed: 32 bits.
    """

    sigma: float = 0.0
    centre: float = 1.0
    side: float = 0.0
    seed: int = 0

    def scaled(self, factor: float) -> Grain:
        """In codes of another size."""
        return self._replace(sigma=self.sigma * factor)

    def from_corner(self, x: int, y: int) -> Grain:
        """The same noise in a picture whose first sample is sample (x, y) of the frame."""
        return self._replace(seed=(self.seed + x * _SEED_OF_X + y * _SEED_OF_Y) % 2**32)


# Of `white_noise` in kernels/common/grain.h.
_SEED_OF_X, _SEED_OF_Y = 0x9E3779B1, 0xC2B2AE3D
NO_GRAIN = Grain()


class Mark(NamedTuple):
    """The imperceptible mark of a face in its frame.

    Attributes:
        chips: float32 ``[64, 64]``, by how many codes of 8 bits luma is raised at the chips' centres;
            bilinear between them, and 0 beyond.
        luma_to_mark: float64 ``[2, 3]``, luma coordinates to chips.
    """

    chips: NDArray[np.float32]
    luma_to_mark: NDArray[np.float64]

    def scaled(self, factor: float) -> Mark:
        """In codes of another size."""
        return self._replace(chips=self.chips * np.float32(factor))

    def from_corner(self, x: float, y: float) -> Mark:
        """The same mark in a picture whose first sample is sample (x, y) of the frame."""
        moved = self.luma_to_mark.copy()
        moved[:, 2] += moved[:, 0] * x + moved[:, 1] * y
        return self._replace(luma_to_mark=moved)


def resize(
    frame: Frame, width: int, height: int, threads: int = 0, *, pixel_aspect: float = 1.0
) -> tuple[NDArray[np.float32], float]:
    """Scales a frame into the top-left corner of a black picture of square pixels, for a detector.

    The filter is a tent as wide as an output pixel's footprint; the shown aspect ratio is kept.

    Args:
        frame: any frame.
        width: of the result, in pixels.
        height: of the result, in pixels.
        threads: see above.
        pixel_aspect: width of a sample over its height, as it is shown.

    Returns:
        RGB float32 ``[3, height, width]``, nominally 0..1, and the scale of rows: ``y = scale * luma y``;
        ``x = scale * pixel_aspect * luma x``.

    Raises:
        ValueError: a size below 1, or planes that do not fit the colour description.
    """
    if width < 1 or height < 1:
        raise ValueError(f"width and height must be at least 1, not {width} and {height}")
    scale = min(width / (frame.width * pixel_aspect), height / frame.height)
    out = np.empty((3, height, width), np.float32)
    _kernels.resize(*frame.planes, native_colour(frame.colour), scale * pixel_aspect, scale, out, threads)
    return out, scale


@overload
def crop(
    frame: Frame, matrices: NDArray[np.float64], size: int, out: None = None, *, threads: int = 0
) -> NDArray[np.float32]: ...
@overload
def crop(
    frame: Frame, matrices: NDArray[np.float64], size: int, out: NDArray[_Pixel], *, threads: int = 0
) -> NDArray[_Pixel]: ...
@overload
def crop(
    frame: Frame,
    matrices: NDArray[np.float64],
    size: int,
    out: None = None,
    *,
    dtype: type[_Pixel],
    threads: int = 0,
) -> NDArray[_Pixel]: ...
def crop(
    frame: Frame,
    matrices: NDArray[np.float64],
    size: int,
    out: NDArray[Any] | None = None,
    *,
    dtype: type[Any] = np.float32,
    threads: int = 0,
) -> NDArray[Any]:
    """Cuts aligned square pictures out of a frame.

    Catmull-Rom filtered; where a crop pixel spans more than one sample the filter widens with it, so that
    shrinking does not alias. Beyond its edges the frame is continued by its outermost samples. Of float
    frames NaN counts as 0, and samples beyond the range of fp16 as its ends.

    Args:
        frame: any frame.
        matrices: float64 ``[N, 2, 3]``, crop coordinates to luma coordinates, px.
        size: side of a crop in px.
        out: C-contiguous float32 or float16 ``[N, 3, size, size]`` to fill, for instance a slice of a batch.
        dtype: of the new array where ``out`` is None; fp16 is the fp32 result, rounded to nearest even.
        threads: see above.

    Returns:
        ``out`` or a new array: RGB ``[N, 3, size, size]``, nominally 0..1.

    Raises:
        ValueError: shapes or types that do not fit, or a matrix that is not finite or has no inverse.
        TypeError: ``out`` is not C-contiguous.
    """
    matrices = _on_rows_of(frame, matrices)
    if out is None:
        out = np.empty((len(matrices), 3, size, size), dtype)
    elif out.shape[-1] != size:
        raise ValueError(f"out is {out.shape}, but size is {size}")
    _kernels.crop(*frame.planes, native_colour(frame.colour), matrices, out, threads)
    return out


def stats(image: NDArray[np.float32], mask: NDArray[np.float32]) -> Moments:
    """Mean and covariance of a picture's colours under a mask.

    Args:
        image: RGB float32 ``[3, S, S]``.
        mask: float32 ``[S, S]``, weights of 0 and more.

    Returns:
        Mean ``[3]``, population covariance ``[3, 3]``, and the sum of the weights. All are 0 where that is 0.

    Raises:
        ValueError: shapes that do not fit.
    """
    mean, covariance, weight = np.empty(3), np.empty((3, 3)), np.empty(1)
    _kernels.stats(_contiguous(image), _contiguous(mask), mean, covariance, weight)
    return mean, covariance, float(weight[0])


def skin(
    drawn: NDArray[np.float32],
    source: NDArray[np.float32],
    mask: NDArray[np.float32],
    of_drawn: Moments,
    of_source: Moments,
    spread: float,
    row_step: int = 1,
) -> NDArray[np.float32]:
    """What of a mask is skin in two pictures of one face, by colour; see kernels/common/skin.h.

    Args:
        drawn: RGB float32 ``[3, S, S]``.
        source: the same.
        mask: float32 ``[S, S]``.
        of_drawn: as of `stats`; without weight all is skin.
        of_source: the same of ``source``.
        spread: that both covariances are multiplied by.
        row_step: rows between every so many are left out.

    Returns:
        float32 ``[S, S]``: the mask times Tukey's biweight of the pixel's Mahalanobis distance in either
        picture, which ends at 4.

    Raises:
        ValueError: shapes that do not fit.
    """
    out = np.empty(mask.shape, np.float32)
    _kernels.skin(
        _contiguous(drawn), _contiguous(source), _contiguous(mask), of_drawn, of_source, spread, row_step, out
    )
    return out


def noise(frame: Frame, matrix: NDArray[np.float64], mask: NDArray[np.float32]) -> tuple[float, float]:
    """How strong a frame's noise is where a face's skin is (kernels/common/noise.h says how it is told).

    Args:
        frame: any frame; its luma is asked, of RGB its green.
        matrix: float64 ``[2, 3]``, face coordinates to luma coordinates, px.
        mask: float32 ``[R, R]`` of the face; asked is where it is 1/4 and more.

    Returns:
        Deviations, in codes of 8 bits, as neighbouring samples and as every other one tell them. Of white
        noise they are alike, of coarser grain the second is larger; 0 where there is no skin.

    Raises:
        ValueError: shapes that do not fit, or a matrix that is not finite or has no inverse.
    """
    return _kernels.noise(
        *frame.planes, native_colour(frame.colour), _on_rows_of(frame, matrix), _contiguous(mask)
    )


def detail(image: NDArray[np.float32], taps: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Luma (Rec. 709) less the same blurred.

    Args:
        image: RGB float32 ``[3, S, S]``, continued beyond its edges by its outermost pixels.
        taps: float32 ``[2 r + 1]``, of the blur along either axis; they sum to 1.
        out: C-contiguous float32 ``[S, S]`` to fill.

    Raises:
        ValueError: shapes that do not fit.
    """
    _kernels.detail(_contiguous(image), _contiguous(taps), out)


def sharpen(image: NDArray[np.float32], taps: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """A picture with more detail or less, of its luma; hues stay.

    No pixel's luma leaves the range of itself and its eight neighbours by more than 0.01, so that edges get
    no halo.

    Args:
        image: RGB float32 ``[3, S, S]``.
        taps: as of `detail`.
        amount: of detail that is added; -1 takes all of it away.

    Raises:
        ValueError: shapes that do not fit, or an amount below -1.
    """
    out = np.empty(image.shape, np.float32)
    _kernels.sharpen(_contiguous(image), _contiguous(taps), amount, out)
    return out


def quantiles(
    image: NDArray[np.float32], mask: NDArray[np.float32], to_space: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Values of each channel of a space below which (i + 1/2) / count of a picture's weight lies.

    Args:
        image: RGB float32 ``[3, S, S]``.
        mask: float32 ``[S, S]``, weights of 0 and more.
        to_space: float64 ``[3, 3]``, from RGB; values from -1 to 2 are told apart, to 1/512.
        count: of the values, 1 to 1024.

    Returns:
        float64 ``[3, count]``, rising.
    """
    out = np.empty((3, count))
    _kernels.quantiles(_contiguous(image), _contiguous(mask), np.ascontiguousarray(to_space), out)
    return out


def recolour(
    image: NDArray[np.float32],
    to_space: NDArray[np.float64],
    curves: NDArray[np.float32],
    low: float,
    high: float,
) -> NDArray[np.float32]:
    """Lays a curve over each channel of a space.

    Args:
        image: RGB float32 ``[3, S, S]``.
        to_space: float64 ``[3, 3]``, from RGB.
        curves: float32 ``[3, K]``, values at K even steps from ``low`` to ``high``; linear between them, and
            beyond its ends a curve goes on with slope 1.
        low: the first step.
        high: the last one.

    Returns:
        RGB float32 ``[3, S, S]``.
    """
    out = np.empty(image.shape, np.float32)
    there, back = (np.ascontiguousarray(each) for each in (to_space, np.linalg.inv(to_space)))
    _kernels.recolour(_contiguous(image), there, back, _contiguous(curves), low, high, out)
    return out


def blend(
    frame: Frame,
    matrix: NDArray[np.float64],
    face: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float64],
    threads: int = 0,
    *,
    grain: Grain = NO_GRAIN,
    mark: Mark | None = None,
) -> tuple[int, int, int, int] | None:
    """Lays a face over a frame, in place, in the frame's own Y'CbCr.

    A luma sample's weight is the mask, bilinear, at its centre, and 0 outside the mask's picture. In PQ and
    HLG it fades out where the source shows highlights, which so stay: from diffuse white on, to 0 where the
    display curve reaches 1 (374 cd/m2), by the source's luma. A chroma sample's weight is the mean over the
    luma samples that it stands for at the stream's siting. Samples of weight 0 are not written, nor is a
    face value that is not finite; a float sample that is not finite stays where the weight is below 1.

    The face is Catmull-Rom filtered (widened where it shrinks) within the range of the samples of positive
    weight, then colour matched, encoded and mixed. Its chroma is brought to the stream's resolution by a
    low pass that undoes what ``crop`` did (kernels/common/chroma.h).

    Args:
        frame: its planes are changed; they must be writable (``make_writable()`` of the libav frame).
        matrix: float64 ``[2, 3]``, face coordinates to luma coordinates, px.
        face: RGB float32 ``[3, R, R]``, nominally 0..1; not clamped.
        mask: float32 ``[R, R]`` in 0..1, the face's share.
        colour: float64 ``[3, 4]``; a face pixel becomes ``colour @ [r, g, b, 1]``.
        threads: see above.
        grain: is added to luma, or to all of RGB, so strong that with what the mask leaves of the frame's
            own noise it is as strong everywhere.
        mark: is added to luma, or to all of RGB.

    Returns:
        Bounds ``(x0, y0, x1, y1)`` of the luma samples where the mask is above 0, px, half open; None
        without any.

    Raises:
        ValueError: planes that cannot be written, shapes that do not fit, or a matrix that is not finite or
            has no inverse.
    """
    if not all(plane.flags.writeable for plane in frame.planes):
        raise ValueError(
            f"frame {frame.index}: planes are read-only; call make_writable() on the libav frame"
        )
    return _kernels.blend(
        *frame.planes,
        native_colour(frame.colour),
        _on_rows_of(frame, matrix),
        _contiguous(face),
        _contiguous(mask),
        np.ascontiguousarray(colour, np.float64),
        grain,
        None if mark is None else mark.from_corner(0, frame.row_offset),
        threads,
    )


def mark(
    face: NDArray[np.float32],
    mask: NDArray[np.float32],
    luma: NDArray[np.float64],
    mark_to_face: NDArray[np.float64],
    chips: NDArray[np.int32],
    signs: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Makes the imperceptible mark of a face; kernels/common/mark.h says how.

    Args:
        face: RGB float32 ``[3, R, R]``.
        mask: float32 ``[R, R]`` in 0..1, the face's share in the frame.
        luma: float64 ``[4]``: luma in codes of 8 bits of a pixel (r, g, b, 1).
        mark_to_face: float64 ``[2, 3]``, chips to face px.
        chips: int32 ``[96, 20]`` of each bit of the code, counted along rows of 64.
        signs: float32 ``[96, 20]``, 1 or -1, that they are to have.

    Returns:
        float32 ``[64, 64]``, for `Mark`.

    Raises:
        ValueError: shapes that do not fit, or a matrix that is not finite.
    """
    out = np.empty((64, 64), np.float32)
    _kernels.mark(
        _contiguous(face),
        _contiguous(mask),
        np.ascontiguousarray(luma, np.float64),
        np.ascontiguousarray(mark_to_face, np.float64),
        chips,
        signs,
        out,
    )
    return out


def fill(edges: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Fills a convex polygon.

    Args:
        edges: float32 ``[N, 3]``: inward normal of length 1 and its offset; inside is
            ``normal @ (x, y) > offset``, px.
        size: side of the result, px.

    Returns:
        float32 ``[size, size]`` in 0..1: how far inside a pixel's centre lies, plus a half, clamped.

    Raises:
        ValueError: shapes that do not fit, or edges that are not finite.
    """
    out = np.empty((size, size), np.float32)
    _kernels.fill(_contiguous(edges), out)
    return out


def soften(mask: NDArray[np.float32], taps: NDArray[np.float32], border_px: float) -> NDArray[np.float32]:
    """Blurs a mask and makes a smooth ramp of the upper half of what comes out.

    Args:
        mask: float32 ``[R, R]`` in 0..1; zeros are around it.
        taps: float32 ``[2 r + 1]``, of the blur along either axis; they sum to 1.
        border_px: over which the result fades towards the picture's edge, at least 1.

    Returns:
        float32 ``[R, R]``: 0 where the blurred mask is at most a half, and 1 where it is full.

    Raises:
        ValueError: shapes that do not fit, or a border below 1.
    """
    out = np.empty_like(mask, np.float32, order="C")
    _kernels.soften(_contiguous(mask), _contiguous(taps), border_px, out)
    return out


def uncover(mask: NDArray[np.float32], visible: NDArray[np.float32]) -> None:
    """Keeps a mask where the face is seen: multiplies it, in place.

    Args:
        mask: float32 ``[R, R]`` in 0..1, contiguous.
        visible: float32 ``[M, M]``, of the same square: the share of the face that is seen, clamped to 0..1,
            bilinear between its samples' centres.

    Raises:
        ValueError: shapes that do not fit.
    """
    _kernels.uncover(_contiguous(visible), mask)


def _on_rows_of(frame: Frame, matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affines ``[..., 2, 3]`` that end in shared coordinates, for the rows of this very field."""
    placed = np.array(matrices, np.float64, order="C")
    placed[..., 1, 2] -= frame.row_offset
    return placed


def _contiguous(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array, np.float32)


def native_colour(colour: ColourDescription) -> _native.Colour:
    """As the extension takes it; a ValueError names what it cannot be."""
    return _native.Colour(
        matrix=int(colour.matrix),
        full_range=colour.full_range,
        siting=int(colour.siting),
        bits=colour.bits,
        chroma_shift_x=colour.chroma_shift_x,
        chroma_shift_y=colour.chroma_shift_y,
        padding_bits=colour.padding_bits,
        transfer=int(colour.transfer),
    )
