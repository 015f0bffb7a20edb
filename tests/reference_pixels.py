"""What the kernels should compute, in float64 NumPy, written from the standards.

Sources: ITU-R BT.601, BT.709 and BT.2020 for the luma coefficients; ITU-T H.273 section 8.3 for code
values and section 8.7 for chroma positions; Keys 1981 for cubic convolution. Nothing here is fast and
nothing comes from the product: only the attribute names of a colour description are shared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

# H.273 MatrixCoefficients code point: (Kr, Kb).
LUMA_COEFFICIENTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
LEFT, CENTRE, TOP_LEFT = 1, 2, 3


def to_rgb(y: Floats, cb: Floats, cr: Floats, colour: Any) -> Floats:
    """Code values to clamped R'G'B', channels first."""
    y_span, y_zero, c_span, c_zero = code_range(colour)
    luma, blue, red = (y - y_zero) / y_span, (cb - c_zero) / c_span, (cr - c_zero) / c_span
    kr, kb = LUMA_COEFFICIENTS[int(colour.matrix)]
    r = luma + red * 2 * (1 - kr)
    b = luma + blue * 2 * (1 - kb)
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    clipped: Floats = np.clip(np.stack([r, g, b]), 0, 1)
    return clipped


def to_codes(rgb: Floats, colour: Any) -> Floats:
    """R'G'B', channels first, to unrounded Y'CbCr code values."""
    y_span, y_zero, c_span, c_zero = code_range(colour)
    kr, kb = LUMA_COEFFICIENTS[int(colour.matrix)]
    r, g, b = rgb
    luma = kr * r + (1 - kr - kb) * g + kb * b
    blue, red = (b - luma) / (2 - 2 * kb), (r - luma) / (2 - 2 * kr)
    return np.stack([luma * y_span + y_zero, blue * c_span + c_zero, red * c_span + c_zero])


def code_range(colour: Any) -> tuple[float, float, float, float]:
    unit = 2.0 ** (colour.bits - 8)
    if colour.full_range:
        return 2.0**colour.bits - 1, 0.0, 2.0**colour.bits - 1, 128 * unit
    return 219 * unit, 16 * unit, 224 * unit, 128 * unit


def keys_cubic(distance: Floats) -> Floats:
    a, x = -0.5, np.abs(distance)
    inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
    outer = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def tent(distance: Floats) -> Floats:
    height: Floats = np.maximum(0.0, 1 - np.abs(distance))
    return height


def taps(position: Floats, step: float, curve: Any, half_width: int) -> tuple[NDArray[np.int64], Floats]:
    """Sample indices ``[..., n]`` around continuous positions, and their weights, which sum to one."""
    widening = max(1.0, step)
    reach = int(np.ceil(half_width * widening - 1e-6))
    nearest_below = np.floor(position - 0.5).astype(np.int64)
    index = nearest_below[..., None] + np.arange(-reach + 1, reach + 1)
    weight = curve((index + 0.5 - position[..., None]) / widening)
    return index, weight / weight.sum(-1, keepdims=True)


def filtered(
    image: Floats,
    x: Floats,
    y: Floats,
    steps: tuple[float, float],
    curve: Any = keys_cubic,
    half_width: int = 2,
) -> tuple[Floats, Floats, Floats]:
    """Values of ``image [H, W]`` at positions, and the least and greatest sample that each was made of."""
    index_x, weight_x = taps(x, steps[0], curve, half_width)
    index_y, weight_y = taps(y, steps[1], curve, half_width)
    columns = np.clip(index_x, 0, image.shape[1] - 1)[..., None, :]
    rows = np.clip(index_y, 0, image.shape[0] - 1)[..., :, None]
    support = image[rows, columns]
    value = np.einsum("...ji,...j,...i->...", support, weight_y, weight_x)
    return value, support.min((-2, -1)), support.max((-2, -1))


def chroma_position(x: Floats, y: Floats, colour: Any) -> tuple[Floats, Floats]:
    """Luma positions on the chroma grid, from where H.273 figures 2 and 3 put the samples."""
    across, down = 2**colour.chroma_shift_x, 2**colour.chroma_shift_y
    # Luma position of the centre of chroma sample 0.
    first_x = 0.5 if colour.siting in (LEFT, TOP_LEFT) else across / 2
    first_y = 0.5 if colour.siting == TOP_LEFT else down / 2
    return (x - first_x) / across + 0.5, (y - first_y) / down + 0.5


def planes_to_rgb(
    planes: Any, colour: Any, x: Floats, y: Floats, steps: tuple[float, float], **curve: Any
) -> Floats:
    chroma_x, chroma_y = chroma_position(x, y, colour)
    chroma_steps = steps[0] / 2**colour.chroma_shift_x, steps[1] / 2**colour.chroma_shift_y
    luma, blue, red = (np.asarray(plane, np.float64) for plane in planes)
    return to_rgb(
        filtered(luma, x, y, steps, **curve)[0],
        filtered(blue, chroma_x, chroma_y, chroma_steps, **curve)[0],
        filtered(red, chroma_x, chroma_y, chroma_steps, **curve)[0],
        colour,
    )


def centres(width: int, height: int) -> tuple[Floats, Floats]:
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return x, y


def crop(planes: Any, colour: Any, matrix: Floats, size: int) -> Floats:
    x, y = centres(size, size)
    u, v = np.einsum("ij,jhw->ihw", matrix, np.stack([x, y, np.ones_like(x)]))
    steps = float(np.hypot(*matrix[0, :2])), float(np.hypot(*matrix[1, :2]))
    return planes_to_rgb(planes, colour, u, v, steps)


def resize(planes: Any, colour: Any, width: int, height: int, scale: float) -> Floats:
    """The picture part of a letterboxed frame."""
    x, y = centres(width, height)
    return planes_to_rgb(
        planes, colour, x / scale, y / scale, (1 / scale, 1 / scale), curve=tent, half_width=1
    )


def footprint(luma_length: int, shift: int, cosited: bool) -> Floats:
    """``[chroma length, luma length]``: how much each luma sample counts for each chroma sample."""
    ratio = 2**shift
    chroma_length = -(-luma_length // ratio)
    counts = np.zeros((chroma_length, luma_length))
    for chroma in range(chroma_length):
        for luma in range(luma_length):
            if cosited:
                counts[chroma, luma] = max(0, ratio - abs(luma - ratio * chroma))
            else:
                counts[chroma, luma] = luma // ratio == chroma
    shares: Floats = counts / counts.sum(1, keepdims=True)
    return shares


def luma_weight(mask: Floats, x: Floats, y: Floats) -> Floats:
    """Bilinear, in a mask that is surrounded by zeros."""
    index_x, weight_x = taps(x, 1.0, tent, 1)
    index_y, weight_y = taps(y, 1.0, tent, 1)
    size = len(mask)
    surrounded = np.pad(mask, 1)
    rows = np.clip(index_y, -1, size)[..., :, None] + 1
    columns = np.clip(index_x, -1, size)[..., None, :] + 1
    weight: Floats = np.einsum("...ji,...j,...i->...", surrounded[rows, columns], weight_y, weight_x)
    return weight


def blend(
    planes: Any, colour: Any, matrix: Floats, face: Floats, mask: Floats, transform: Floats
) -> tuple[list[Floats], list[Floats]]:
    """The mixed code values before rounding, and the weights, of all three planes."""
    height, width = planes[0].shape
    x, y = centres(width, height)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    u, v = np.einsum("ij,jhw->ihw", inverse, np.stack([x, y, np.ones_like(x)]))
    weight = luma_weight(mask, u, v)

    steps = float(np.hypot(*inverse[0, :2])), float(np.hypot(*inverse[1, :2]))
    rgb = np.stack([np.clip(*filtered(channel, u, v, steps)) for channel in face])
    matched = np.einsum("ij,jhw->ihw", transform[:, :3], rgb) + transform[:, 3, None, None]
    codes = to_codes(np.clip(matched, 0, 1), colour)

    across = footprint(width, colour.chroma_shift_x, colour.siting in (LEFT, TOP_LEFT))
    down = footprint(height, colour.chroma_shift_y, colour.siting == TOP_LEFT)
    chroma_weight = down @ weight @ across.T
    mixed = [planes[0] + weight * (codes[0] - planes[0])]
    for plane, code in zip(planes[1:], codes[1:], strict=True):
        mixed.append(plane * (1 - chroma_weight) + down @ (weight * code) @ across.T)
    top = 2.0**colour.bits - 1
    return [np.clip(plane, 0, top) for plane in mixed], [weight, chroma_weight, chroma_weight]
