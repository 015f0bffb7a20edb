"""What the kernels should compute, in float64 NumPy, written from the standards.

Sources: ITU-R BT.601, BT.709, BT.2020 and BT.2100 for the luma coefficients and the HDR transfers; BT.2408
for reference white; ITU-T H.273 section 8.3 for code values and section 8.7 for chroma positions; Keys 1981
for cubic convolution. Nothing here is fast and nothing comes from the product: only the attribute names of
a colour description are shared.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

RGB, PQ, HLG = 0, 16, 18
FLOAT_BITS = 32
# H.273 MatrixCoefficients code point: (Kr, Kb). The luma of RGB is only asked for in HDR.
LUMA_COEFFICIENTS = {RGB: (0.2627, 0.0593), 1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
LEFT, CENTRE, TOP_LEFT = 1, 2, 3


def code_values(plane: NDArray[Any], colour: Any) -> Floats:
    """Samples as decoded, without the zero bits below them."""
    if colour.bits == FLOAT_BITS:
        return plane.astype(np.float64)
    return (plane >> colour.padding_bits).astype(np.float64)


def to_rgb(first: Floats, second: Floats, third: Floats, colour: Any) -> Floats:
    """Code values of the three planes to R'G'B', channels first, not clamped."""
    y_span, y_zero, c_span, c_zero = code_range(colour)
    if int(colour.matrix) == RGB:
        return (np.stack([third, first, second]) - y_zero) / y_span
    luma, blue, red = (first - y_zero) / y_span, (second - c_zero) / c_span, (third - c_zero) / c_span
    kr, kb = LUMA_COEFFICIENTS[int(colour.matrix)]
    r = luma + red * 2 * (1 - kr)
    b = luma + blue * 2 * (1 - kb)
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.stack([r, g, b])


def to_codes(rgb: Floats, colour: Any) -> Floats:
    """R'G'B', channels first, to unrounded code values of the three planes."""
    y_span, y_zero, c_span, c_zero = code_range(colour)
    r, g, b = rgb
    if int(colour.matrix) == RGB:
        return np.stack([g, b, r]) * y_span + y_zero
    kr, kb = LUMA_COEFFICIENTS[int(colour.matrix)]
    luma = kr * r + (1 - kr - kb) * g + kb * b
    blue, red = (b - luma) / (2 - 2 * kb), (r - luma) / (2 - 2 * kr)
    return np.stack([luma * y_span + y_zero, blue * c_span + c_zero, red * c_span + c_zero])


def code_range(colour: Any) -> tuple[float, float, float, float]:
    if colour.bits == FLOAT_BITS:
        return 1.0, 0.0, 1.0, 0.0
    unit = 2.0 ** (colour.bits - 8)
    if colour.full_range:
        return 2.0**colour.bits - 1, 0.0, 2.0**colour.bits - 1, 128 * unit
    return 219 * unit, 16 * unit, 224 * unit, 128 * unit


def luma_signal(codes: list[Floats], colour: Any) -> Floats:
    """Y' in 0..1 of three planes of one size, of which Y'CbCr needs the first alone."""
    y_span, y_zero, _, _ = code_range(colour)
    if int(colour.matrix) != RGB:
        return (codes[0] - y_zero) / y_span
    kr, kb = LUMA_COEFFICIENTS[RGB]
    g, b, r = ((plane - y_zero) / y_span for plane in codes)
    return kr * r + (1 - kr - kb) * g + kb * b


WHITE_CD_M2 = 203.0
PQ_M1, PQ_M2, PQ_C1, PQ_C2, PQ_C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073


def light_of_signal(signal: Floats, transfer: int) -> Floats:
    """cd/m2 (BT.2100 table 4 for PQ; table 5 with a system gamma of 1.2 for HLG at 1000 cd/m2)."""
    if transfer == PQ:
        root = np.power(signal, 1 / PQ_M2)
        return 10000 * np.power(np.maximum(root - PQ_C1, 0) / (PQ_C2 - PQ_C3 * root), 1 / PQ_M1)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - HLG_C) / HLG_A) + HLG_B) / 12)
    return 1000 * np.power(scene, 1.2)


def signal_of_light(light: Floats, transfer: int) -> Floats:
    if transfer == PQ:
        power = np.power(light / 10000, PQ_M1)
        return np.power((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power), PQ_M2)
    scene = np.power(light / 1000, 1 / 1.2)
    with np.errstate(invalid="ignore"):
        return np.where(scene <= 1 / 12, np.sqrt(3 * scene), HLG_A * np.log(12 * scene - HLG_B) + HLG_C)


def bisect(function: Any, low: float, high: float) -> float:
    """Where a rising function passes zero."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


WHITE_DISPLAY, SHOULDER_SLOPE = 0.9, 0.9 / 2.4
# The shoulder reaches 1.2 at 10000 cd/m2.
SHOULDER = bisect(
    lambda c: c * np.log1p((10000 / WHITE_CD_M2 - 1) * SHOULDER_SLOPE / c) - (1.2 - WHITE_DISPLAY), 1e-3, 1
)


def display_of_light(light: Floats) -> Floats:
    x = light / WHITE_CD_M2
    above = np.maximum(x - 1, 0)
    shoulder = WHITE_DISPLAY + SHOULDER * np.log1p(above * SHOULDER_SLOPE / SHOULDER)
    return np.where(x <= 1, WHITE_DISPLAY * np.power(x, 1 / 2.4), shoulder)


def light_of_display(display: Floats) -> Floats:
    shoulder = 1 + np.expm1(np.maximum(display - WHITE_DISPLAY, 0) / SHOULDER) * SHOULDER / SHOULDER_SLOPE
    low = np.power(np.minimum(display, WHITE_DISPLAY) / WHITE_DISPLAY, 2.4)
    return WHITE_CD_M2 * np.where(display <= WHITE_DISPLAY, low, shoulder)


@cache
def toe(transfer: int) -> tuple[float, float]:
    """The signal whose tangent passes through black, where display / signal is least, and that tangent."""
    signal = np.linspace(1e-4, 0.3, 2_000_001)
    slope = display_of_light(light_of_signal(signal, transfer)) / signal
    return float(signal[slope.argmin()]), float(slope.min())


def to_display(signal: Floats, transfer: int) -> Floats:
    """What a network is shown, linear below the toe and, beyond 1, as over the last 4096th."""

    def inside(value: Any) -> Any:
        value = np.asarray(value, np.float64)
        start, slope = toe(transfer)
        steep = display_of_light(light_of_signal(np.maximum(value, start), transfer))
        return np.where(value < start, slope * value, steep)

    top = inside(1.0)
    beyond = top + (signal - 1) * 4096 * (top - inside(1 - 1 / 4096))
    return np.where(signal > 1, beyond, inside(np.minimum(signal, 1)))


def to_signal(display: Floats, transfer: int) -> Floats:
    start, slope = toe(transfer)
    peak = float(to_display(np.array(1.0), transfer))

    def inside(value: Any) -> Any:
        value = np.asarray(value, np.float64)
        steep = signal_of_light(light_of_display(np.maximum(value, slope * start)), transfer)
        return np.where(value < slope * start, value / slope, steep)

    top = inside(peak)
    beyond = top + (display - peak) * 4096 / peak * (top - inside(peak * (1 - 1 / 4096)))
    return np.where(display > peak, beyond, inside(np.minimum(display, peak)))


def highlight_fade(luma: Floats, transfer: int) -> Floats:
    """1 up to diffuse white, 0 from where the display value is 1."""
    begin, end = to_signal(np.array([WHITE_DISPLAY, 1.0]), transfer)
    t = np.clip((luma - begin) / (end - begin), 0, 1)
    return 1 - t**2 * (3 - 2 * t)


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
    """Values of ``image [H, W]`` at positions, and the least and greatest sample of positive weight."""
    index_x, weight_x = taps(x, steps[0], curve, half_width)
    index_y, weight_y = taps(y, steps[1], curve, half_width)
    columns = np.clip(index_x, 0, image.shape[1] - 1)[..., None, :]
    rows = np.clip(index_y, 0, image.shape[0] - 1)[..., :, None]
    support = image[rows, columns]
    value = np.einsum("...ji,...j,...i->...", support, weight_y, weight_x)
    counts = (weight_y > 0)[..., :, None] & (weight_x > 0)[..., None, :]
    low = np.where(counts, support, np.inf).min((-2, -1))
    return value, low, np.where(counts, support, -np.inf).max((-2, -1))


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
    codes = [code_values(plane, colour) for plane in planes]
    if colour.bits == FLOAT_BITS:  # the range of fp16; what is no number is black
        codes = [np.clip(np.nan_to_num(plane, posinf=65504, neginf=-65504), -65504, 65504) for plane in codes]
    rgb = to_rgb(
        filtered(codes[0], x, y, steps, **curve)[0],
        filtered(codes[1], chroma_x, chroma_y, chroma_steps, **curve)[0],
        filtered(codes[2], chroma_x, chroma_y, chroma_steps, **curve)[0],
        colour,
    )
    return to_display(rgb, int(colour.transfer)) if int(colour.transfer) in (PQ, HLG) else rgb


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


@cache
def chroma_taps(shift: int, cosited: bool) -> tuple[NDArray[np.int64], Floats]:
    """Luma samples, counted from that of chroma sample 0, and their weights in the chroma that a face gets.

    The mean over what the chroma sample stands for, plus the least change in squares that undoes the
    interpolation of chroma at luma positions. Co-sited 2:1 has a well-known exact one close to it, the
    low pass of the Deslauriers-Dubuc (9,7) wavelet.
    """
    if shift == 0:
        return np.array([0]), np.array([1.0])
    if shift == 1 and cosited:
        return np.arange(-4, 5), np.array([1, 0, -8, 16, 46, 16, -8, 0, 1]) / 64
    ratio, half = 2**shift, 7 if shift == 1 else 8
    index = np.arange(-half, half + 1) if cosited else np.arange(-half, half) + ratio // 2
    distance = index + 0.5 - (0.5 if cosited else ratio / 2)  # from the chroma sample, in luma samples
    mean = tent(distance / ratio) / ratio if cosited else (np.abs(distance) < ratio / 2) / ratio
    around = np.arange(-half, half + 1)
    interpolation = keys_cubic(distance / ratio - around[:, None])
    change, *_ = np.linalg.lstsq(interpolation, (around == 0) - interpolation @ mean, rcond=1e-9)
    return index, (mean + change) / (mean + change).sum()


def chroma_filter(luma_length: int, margin: int, shift: int, cosited: bool) -> Floats:
    """``[chroma length, luma length + 2 margin]``, for luma that goes on beyond the frame."""
    index, weight = chroma_taps(shift, cosited)
    matrix = np.zeros((-(-luma_length // 2**shift), luma_length + 2 * margin))
    for chroma, row in enumerate(matrix):
        row[index + chroma * 2**shift + margin] = weight
    return matrix


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
    old = [code_values(plane, colour) for plane in planes]
    transfer, margin = int(colour.transfer), 20
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    x, y = centres(width + 2 * margin, height + 2 * margin)
    x, y = x - margin, y - margin
    u, v = np.einsum("ij,jhw->ihw", inverse, np.stack([x, y, np.ones_like(x)]))
    inside = np.s_[margin : margin + height, margin : margin + width]
    weight = luma_weight(mask, u[inside], v[inside])
    if transfer in (PQ, HLG):
        weight = weight * highlight_fade(luma_signal(old, colour), transfer)

    steps = float(np.hypot(*inverse[0, :2])), float(np.hypot(*inverse[1, :2]))
    rgb = np.stack([np.clip(*filtered(channel, u, v, steps)) for channel in face])
    matched = np.einsum("ij,jhw->ihw", transform[:, :3], rgb) + transform[:, 3, None, None]
    codes = to_codes(to_signal(matched, transfer) if transfer in (PQ, HLG) else matched, colour)

    shift_x, shift_y = colour.chroma_shift_x, colour.chroma_shift_y
    cosited_x, cosited_y = colour.siting in (LEFT, TOP_LEFT), colour.siting == TOP_LEFT
    chroma_weight = footprint(height, shift_y, cosited_y) @ weight @ footprint(width, shift_x, cosited_x).T
    across = chroma_filter(width, margin, shift_x, cosited_x)
    down = chroma_filter(height, margin, shift_y, cosited_y)
    weights = [weight, chroma_weight, chroma_weight]
    mixed = []
    for plane, code, share in zip(
        old, (codes[0][inside], down @ codes[1] @ across.T, down @ codes[2] @ across.T), weights, strict=True
    ):
        with np.errstate(invalid="ignore"):
            blended = np.where(share >= 1, code, plane + share * (code - plane))
        blended = np.where((share > 0) & np.isfinite(blended), blended, plane)
        mixed.append(blended if colour.bits == FLOAT_BITS else np.clip(blended, 0, 2.0**colour.bits - 1))
    return mixed, weights
