"""A face gets the plate's sharpness and its noise: measured and made, against NumPy and closed forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from device_pictures import on_each_device, pictures_on
from hypothesis import given, settings
from hypothesis import strategies as st
from noise_pictures import UNCHANGED, copy_frame, describe, edge_mask, make_frame, similarity
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from crossface.engine import kernels
from crossface.engine.compositing.layers import face_layer
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting, Transfer
from crossface.engine.kernels import NO_GRAIN, Grain
from crossface.engine.on_device.kernels.records import STATISTICS
from crossface.engine.on_device.kernels.textures import TextureKernels
from crossface.engine.swap.finish import finish
from crossface.engine.swap.grain import grain, noise_of
from crossface.engine.swap.steady_match import Match, MatchSettings
from crossface.engine.swap.texture import WIDE, Texture, blur_of, detail_of, sharpening
from crossface.engine.video.planes import PIXEL_LAYOUTS

LUMA = np.array([0.2126, 0.7152, 0.0722])
SIDE_PX = 96
EIGHT_BITS = describe(PIXEL_LAYOUTS["yuv420p"], Matrix.BT709, False, Siting.LEFT, Transfer.SDR)
FLOATS = ColourDescription(Matrix.RGB, True, Siting.LEFT, 32, 0, 0)
PLACED = similarity(1.0, 0.0, (SIDE_PX / 2, SIDE_PX / 2), SIDE_PX)
IDENTITY = np.eye(3, 4)


def frame_of(luma: NDArray[Any], pixel_format: str = "yuv420p") -> Frame:
    """Grey, with this luma in codes."""
    layout = PIXEL_LAYOUTS[pixel_format]
    colour = describe(layout, Matrix.BT709, False, Siting.LEFT, Transfer.SDR)
    grey = 1 << colour.bits - 1
    half = np.full((luma.shape[0] // 2, luma.shape[1] // 2), grey)
    dtype = np.uint8 if colour.bits == 8 else np.uint16
    return make_frame((luma.astype(dtype), half.astype(dtype), half.astype(dtype)), colour)


def blurred(luma: NDArray[Any], taps: NDArray[Any]) -> NDArray[np.float64]:
    radius = len(taps) // 2
    for axis in (0, 1):
        pad = [(radius, radius) if each == axis else (0, 0) for each in (0, 1)]
        lines = np.pad(luma.astype(np.float64), pad, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(lines, len(taps), axis=axis)
        luma = windows @ taps.astype(np.float64)
    return luma


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.3, 3.0), st.floats(-1.0, 2.0))
def test_sharpening_adds_detail_within_the_neighbours_range(seed: int, scale: float, amount: float) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((3, 33, 33), np.float32)
    taps = blur_of(np.array([[scale, 0, 0], [0, scale, 0]])).taps
    luma = np.einsum("c,cyx->yx", LUMA, image)
    detail = luma - blurred(luma, taps)
    found = np.empty((33, 33), np.float32)
    kernels.detail(image, taps, found)
    np.testing.assert_allclose(found, detail, atol=2e-6)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(luma, 1, mode="edge"), (3, 3))
    low, high = around.min((2, 3)) - 0.01, around.max((2, 3)) + 0.01
    expected = image + (np.clip(luma + amount * detail, low, high) - luma)
    np.testing.assert_allclose(kernels.sharpen(image, taps, amount), expected, atol=5e-6)


def test_a_sharpened_edge_has_no_halo() -> None:
    edge = np.full((3, 40, 40), 0.2, np.float32)
    edge[:, :, 20:] = 0.8
    soft = np.stack([blurred(channel, blur_of(PLACED).taps) for channel in edge]).astype(np.float32)
    sharp = kernels.sharpen(soft, blur_of(PLACED).taps, 1.5)
    assert sharp.min() > 0.2 - 0.011 and sharp.max() < 0.8 + 0.011
    assert np.diff(sharp[0, 20]).max() > 1.2 * np.diff(soft[0, 20]).max()


def textured(drawn: NDArray[Any], source: NDArray[Any], place: NDArray[np.float64] = PLACED) -> Texture:
    """Of two grey pictures without noise."""
    faces = [np.stack([each] * 3).astype(np.float32) for each in (drawn, source)]
    mask = np.ones((SIDE_PX, SIDE_PX), np.float32)
    return Texture(*detail_of(*faces, mask, blur_of(place)), *detail_of(*faces, mask, WIDE), 0.0, 0.0)


def features(seed: int, sigma_px: float, strength: float = 0.3) -> NDArray[np.float64]:
    """Dark bars on fair skin, as brows and lids are, with edges that are so soft."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE_PX, SIDE_PX), 0.6)
    for row, column in rng.integers(5, SIDE_PX - 30, (5, 2)):
        picture[row : row + 5, column : column + 24] -= strength
    return gaussian_filter(picture, sigma_px)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.floats(1.2, 2.0))
def test_a_soft_face_is_brought_nearer_to_a_sharp_plate(seed: int, sigma_px: float) -> None:
    drawn, source = features(seed, sigma_px), features(seed, 0.8)
    texture = textured(drawn, source)
    amounts = sharpening(texture, PLACED, IDENTITY, noise_sigma=0.0)
    assert amounts[0] > 0 and amounts[0] > amounts[1]
    sharp = np.stack([drawn] * 3).astype(np.float32)
    for amount in amounts:
        sharp = kernels.sharpen(sharp, blur_of(PLACED).taps, amount)
    after = textured(sharp[0], source)
    before_ratio, ratio = (np.sqrt(each.drawn / each.source) for each in (texture, after))
    assert before_ratio < ratio < 1.1
    # And the other way round: what the plate shows out of focus is blurred.
    softened, again = sharpening(textured(source, drawn), PLACED, IDENTITY, noise_sigma=0.0)
    assert softened < 0 == again
    same = sharpening(textured(source, source), PLACED, IDENTITY, noise_sigma=0.0)
    assert np.abs(same).max() < 1e-6


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 2.0))
def test_strong_features_are_neither_sharp_nor_soft(seed: int, strength: float) -> None:
    """Of a paler or darker face with edges as steep nothing changes; nor of a strong soft one."""
    alike = textured(features(seed, 1.0, 0.2 * strength), features(seed, 1.0, 0.2))
    assert np.abs(sharpening(alike, PLACED, IDENTITY, noise_sigma=0.0)).max() < 0.02
    bold = textured(features(seed, 1.6, 0.5), features(seed, 1.0, 0.15))
    assert sharpening(bold, PLACED, IDENTITY, noise_sigma=0.0) == (0.0, 0.0)


def test_noise_of_the_plate_is_no_detail_and_colour_gains_stretch_it() -> None:
    blur, sigma = blur_of(PLACED), 0.01
    noise = [each.white * sigma**2 for each in (blur, WIDE)]
    only_noise = Texture(1e-5, 1e-5 + noise[0], 4e-5, 4e-5 + noise[1], 0.0, 0.0)
    assert np.abs(sharpening(only_noise, PLACED, IDENTITY, noise_sigma=sigma)).max() < 1e-3
    finer = Texture(1e-5, 4e-5, 8e-5, 8e-5, 0.0, 0.0)
    amounts = [sharpening(finer, PLACED, gain * IDENTITY, noise_sigma=0.0)[0] for gain in (1.0, 1.2, 2.0)]
    assert amounts[0] > amounts[1] > amounts[2] == 0.0
    rng = np.random.default_rng(1)
    image = np.stack([rng.normal(0.5, 1.0, (200, 200)).astype(np.float32)] * 3)
    found = np.empty((200, 200), np.float32)
    for each in (blur, WIDE):
        kernels.detail(image, each.taps, found)
        assert abs(found.var() / each.white - 1) < 0.03


@pytest.mark.parametrize(("pixel_format", "unit"), [("yuv420p", 1), ("yuv420p10le", 4)])
@pytest.mark.parametrize("sigma", [1.0, 2.5, 6.0])
@pytest.mark.parametrize("side", [0.0, 0.15])
def test_noise_is_measured_over_slopes_and_features(
    pixel_format: str, unit: int, sigma: float, side: float
) -> None:
    """And grain of what was measured is as strong and as coarse."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    plate = 110 + 0.4 * rows + 15 * np.sin(columns / 9)
    plate[30:34, 20:70] = 60  # a brow, of which the mask knows nothing
    white = rng.normal(0, 1, (SIDE_PX, SIDE_PX))
    made = blurred(white, np.array([side, 1, side])) / (1 + 2 * side**2)
    frame = frame_of(np.round(unit * (plate + sigma * made)), pixel_format)
    skin = np.ones((SIDE_PX, SIDE_PX), np.float32)
    fine, coarse = kernels.noise(frame, PLACED, skin)
    found, found_side = noise_of(Texture(0.0, 0.0, 0.0, 0.0, fine, coarse), frame.colour)
    assert abs(found / sigma - 1) < 0.12
    assert abs(found_side - side) < 0.05
    noise = grain(found, found_side, frame.colour, pts=3, track=0)
    assert abs(noise.sigma / (found * unit) - 1) < 1e-6
    assert kernels.noise(frame, PLACED, 0 * skin) == (0.0, 0.0)


@pytest.mark.parametrize(("slope", "most"), [(0.0, 0.0), (0.05, 0.3), (0.5, 0.6)])
def test_a_smooth_plate_gets_hardly_any_grain(slope: float, most: float) -> None:
    """In codes: of a steep slope, rounding looks like a little noise."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    frame = frame_of(np.round(100 + slope * (rows + 0.46 * columns)))
    skin = np.ones((SIDE_PX, SIDE_PX), np.float32)
    of_noise = kernels.noise(frame, PLACED, skin)
    sigma, side = noise_of(Texture(0.0, 0.0, 0.0, 0.0, *of_noise), frame.colour)
    assert grain(sigma, side, frame.colour, pts=0, track=0).sigma <= most


def grained(weight: float, noise: Grain, side_px: int = 256) -> NDArray[np.float64]:
    """What is added to a black frame of floats, in codes, by a grey face of this weight."""
    planes = tuple(np.zeros((side_px, side_px), np.float32) for _ in range(3))
    frame = make_frame(planes, FLOATS)  # type: ignore[arg-type]
    face, mask = np.full((3, 8, 8), 0.5, np.float32), np.full((8, 8), weight, np.float32)
    kernels.blend(
        frame, similarity(side_px, 0, (side_px / 2, side_px / 2), 8), face, mask, UNCHANGED, grain=noise
    )
    assert np.array_equal(frame.planes[0], frame.planes[1]) and np.array_equal(
        frame.planes[0], frame.planes[2]
    )
    return frame.planes[0].astype(np.float64) - 0.5 * weight


@pytest.mark.parametrize("side", [0.0, 0.2])
@pytest.mark.parametrize("weight", [1.0, 0.5, 0.1])
def test_grain_and_what_is_left_of_the_plates_noise_are_as_strong_everywhere(
    weight: float, side: float
) -> None:
    sigma, centre = 0.02, 1 / np.sqrt(1 + 2 * side**2)
    noise = grained(weight, Grain(sigma, centre, side * centre, 99))
    total = noise.var() + (1 - weight) ** 2 * sigma**2
    assert abs(total / sigma**2 - 1) < 0.03 and abs(noise.mean()) < 3 * sigma / 256
    along = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    assert abs(along - 2 * side / (1 + 2 * side**2)) < 0.02
    skewness, kurtosis = ((noise / noise.std()) ** 3).mean(), ((noise / noise.std()) ** 4).mean()
    assert abs(skewness) < 0.05 and 2.6 < kurtosis < 3.1


def test_grain_is_new_in_each_frame_and_for_each_track_and_the_same_again() -> None:
    of = [
        grain(2.0, 0.1, EIGHT_BITS, pts=pts, track=track) for pts, track in ((5, 0), (6, 0), (5, 1), (5, 0))
    ]
    assert of[0] == of[3] and len({each.seed for each in of}) == 3
    pictures = [grained(1.0, each._replace(sigma=0.01)) for each in of[:3]]
    for other in pictures[1:]:
        assert abs(np.corrcoef(pictures[0].ravel(), other.ravel())[0, 1]) < 0.02
    spectrum = np.abs(np.fft.fft2(grained(1.0, Grain(0.01, 1.0, 0.0, 5)))) ** 2
    assert spectrum.max() / spectrum.mean() < 25, "no pattern: of white noise the most of 65536 is near 11"


@settings(max_examples=20)
@given(st.sampled_from(["yuv420p", "nv12", "yuv422p10le", "yuv444p", "gbrp", "p010le"]), st.integers(0, 99))
def test_where_the_mask_is_zero_grain_changes_nothing_and_chroma_has_none(
    pixel_format: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layout = PIXEL_LAYOUTS[pixel_format]
    matrix = Matrix.RGB if pixel_format == "gbrp" else Matrix.BT709
    colour = describe(layout, matrix, pixel_format == "gbrp", Siting.LEFT, Transfer.SDR)
    sizes = [(60, 64)] + 2 * [(60 >> colour.chroma_shift_y, 64 >> colour.chroma_shift_x)]
    dtype = np.uint8 if colour.bits == 8 else np.uint16
    top = 1 << colour.bits
    planes = tuple((rng.integers(0, top, size) << colour.padding_bits).astype(dtype) for size in sizes)
    frame = make_frame(planes, colour)  # type: ignore[arg-type]
    face = rng.random((3, 32, 32), np.float32)
    mask = edge_mask(rng, 32, "oval")
    place = similarity(1.1, 20, (33, 29), 32)
    noise = Grain(4.0 * top / 256, 0.9, 0.3, seed)
    plain, noisy = copy_frame(frame), copy_frame(frame)
    kernels.blend(plain, place, face, mask, UNCHANGED)
    box = kernels.blend(noisy, place, face, mask, UNCHANGED, grain=noise)
    assert box is not None
    weighed = np.zeros((60, 64), bool)
    for value in (-1e6, 1e6):  # where it has the least weight, something changes
        shown = copy_frame(frame)
        kernels.blend(shown, place, np.full_like(face, value), mask, UNCHANGED)
        weighed |= shown.planes[0] != frame.planes[0]
    assert not (noisy.planes[0] != frame.planes[0])[~weighed].any()
    assert (noisy.planes[0] != plain.planes[0]).any()
    for got, wanted in zip(noisy.planes[1:], plain.planes[1:], strict=True):
        assert np.array_equal(got, wanted) == (matrix is not Matrix.RGB)
    for threads in (1, 3):
        again = copy_frame(frame)
        kernels.blend(again, place, face, mask, UNCHANGED, threads, grain=noise)
        for got, wanted in zip(again.planes, noisy.planes, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_layer_for_compositors_has_the_frames_grain() -> None:
    rng = np.random.default_rng(3)
    frame = frame_of(rng.integers(16, 236, (64, 72)))
    face, mask = rng.random((3, 32, 32), np.float32), edge_mask(rng, 32, "oval")
    place, noise = similarity(1.2, 5, (40, 33), 32), Grain(5.0, 1.0, 0.0, 8)
    plain = face_layer(frame, place, face, mask, UNCHANGED)
    noisy = face_layer(frame, place, face, mask, UNCHANGED, noise)
    assert plain is not None and noisy is not None
    results = [copy_frame(frame) for _ in range(2)]
    kernels.blend(results[0], place, face, mask, UNCHANGED)
    kernels.blend(results[1], place, face, mask, UNCHANGED, grain=noise)
    added = results[1].planes[0].astype(float) - results[0].planes[0]
    codes = 219 * (noisy.colour - plain.colour)[..., 1]
    clear = (results[1].planes[0] > 0) & (results[1].planes[0] < 255)
    within = np.zeros_like(added)
    within[plain.rows, plain.columns] = codes
    assert np.abs(added - within)[clear].max() <= 1.01 and np.abs(added).max() > 5


def test_what_nobody_asks_for_is_not_done() -> None:
    match = Match(IDENTITY, None, None, IDENTITY)
    done = finish(MatchSettings(), match, PLACED, EIGHT_BITS, pts=1, track=0)
    assert done.sharpening == (0.0, 0.0) and done.grain == NO_GRAIN
    measured = replace(match, texture=Texture(1e-5, 9e-5, 1e-4, 2e-4, 2.0, 2.0))
    for asked, sharp, noisy in (((1.0, 0.0), True, False), ((0.0, 1.0), False, True)):
        settings_ = MatchSettings("none", *asked)
        done = finish(settings_, measured, PLACED, EIGHT_BITS, pts=1, track=0)
        assert (done.sharpening[0] > 0) == sharp and (done.grain.sigma > 0) == noisy


@on_each_device
@pytest.mark.parametrize(("side_px", "scale"), [(32, 1.7), (45, 0.4)])
def test_textures_on_a_device_are_those_of_the_cpu(device: str, side_px: int, scale: float) -> None:
    rng = np.random.default_rng(side_px)
    faces, sources = (rng.normal(0.5, 0.1, (3, 3, side_px, side_px)).astype(np.float32) for _ in range(2))
    masks = np.stack([edge_mask(rng, side_px, kind) for kind in ("soft", "full", "oval")])
    taps = blur_of(np.array([[scale, 0, 0], [0, scale, 0]])).taps
    frame = frame_of(rng.integers(60, 180, (80, 90)))
    places = np.stack([similarity(scale, 7 * n, (40 + n, 38), side_px) for n in range(3)])
    with pictures_on(device) as there:
        textures = TextureKernels(there.lane)
        drawn, source, mask = (there.tensor(each) for each in (faces, sources, masks))
        moments = [there.empty((3,), STATISTICS) for _ in range(2)]
        for tensor, out in zip((drawn, source), moments, strict=True):
            there.kernels.stats(tensor, mask, out)
        skin = there.empty(masks.shape, np.float32)
        textures.skin(drawn, source, mask, *moments, 1.5, skin, row_step=2)
        details, sharp = (there.empty(faces.shape, np.float32) for _ in range(2))
        textures.details(drawn, source, [taps] * 3, details)
        textures.sharpen(drawn, [taps] * 3, np.array([0.7, -0.5, 0.0]), sharp)
        noise = there.empty((3, 2), np.float64)
        textures.noise([there.frame(frame)], [0] * 3, places, mask, noise)
        found = [there.numbers(each) for each in (skin, details, sharp, noise)]
    for n in range(3):
        of = [kernels.stats(picture[n], masks[n]) for picture in (faces, sources)]
        expected = kernels.skin(faces[n], sources[n], masks[n], of[0], of[1], 1.5, 2)
        np.testing.assert_allclose(found[0][n], expected, atol=1e-5)
        out = np.empty((side_px, side_px), np.float32)
        for channel, picture in enumerate((faces, sources)):
            kernels.detail(picture[n], taps, out)
            np.testing.assert_allclose(found[1][n, channel], out, atol=2e-6)
        assert not found[1][n, 2].any()
        sharpened = kernels.sharpen(faces[n], taps, (0.7, -0.5, 0.0)[n])
        np.testing.assert_allclose(found[2][n], sharpened, atol=4e-6)
        np.testing.assert_array_equal(found[3][n], kernels.noise(frame, places[n], masks[n]))


@on_each_device
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv444p", "gbrp"])
def test_grain_on_a_device_is_that_of_the_cpu(device: str, pixel_format: str) -> None:
    rng = np.random.default_rng(1)
    layout = PIXEL_LAYOUTS[pixel_format]
    rgb = pixel_format == "gbrp"
    colour = describe(layout, Matrix.RGB if rgb else Matrix.BT709, rgb, Siting.LEFT, Transfer.SDR)
    sizes = [(70, 80)] + 2 * [(70 >> colour.chroma_shift_y, 80 >> colour.chroma_shift_x)]
    dtype = np.uint8 if colour.bits == 8 else np.uint16
    planes = tuple(rng.integers(0, 1 << colour.bits, size).astype(dtype) for size in sizes)
    frame = make_frame(planes, colour)  # type: ignore[arg-type]
    face = np.stack([blurred(rng.random((32, 32)), np.ones(7) / 7)] * 3).astype(np.float32)
    mask, place = edge_mask(rng, 32, "oval"), similarity(1.3, 10, (41, 37), 32)
    noise = Grain(3.0 * (1 << colour.bits - 8), 0.9, 0.3, 12)
    got, wanted = copy_frame(frame), copy_frame(frame)
    kernels.blend(wanted, place, face, mask, UNCHANGED, grain=noise)
    with pictures_on(device) as there:
        touched = there.empty((1,), np.int32)
        there.kernels.blend(
            [there.frame(got)],
            [0],
            place[None],
            there.tensor(face[None]),
            there.tensor(mask[None]),
            UNCHANGED[None],
            touched,
            grains=[noise],
        )
        there.bring_back()
    for plane, want, before in zip(got.planes, wanted.planes, frame.planes, strict=True):
        assert np.abs(plane.astype(int) - want.astype(int)).max() <= 1
        assert (plane != before).any()
