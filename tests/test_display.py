"""Curves and colour spaces between a picture's values and what a network is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.errors import BadInputError, InputMissingError, UsageError
from crossface.engine.sequence.display import display_transform
from crossface.engine.sequence.display_curves import BUILT_IN, DisplayTransform
from crossface.engine.sequence.ocio import OcioTransform

HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
FINITE = np.sort(HALVES[np.isfinite(HALVES)]).astype(np.float32)
SCENE = BUILT_IN["scene-linear"]


def test_scene_linear_is_srgb_below_its_knee() -> None:
    light = np.linspace(0, 0.787, 1001)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(SCENE.to_display(light.astype(np.float32)), srgb, atol=3e-7)


def test_scene_linear_covers_every_half_and_comes_back() -> None:
    shown = SCENE.to_display(FINITE)
    assert (np.diff(shown) >= 0).all() and abs(shown).max() < 3.4
    np.testing.assert_array_equal(SCENE.from_display(shown).astype(np.float16), FINITE.astype(np.float16))
    np.testing.assert_allclose(SCENE.from_display(shown), FINITE, rtol=1e-5, atol=1e-9)
    # As half in between, which is what a network of that type sees.
    coarse = SCENE.from_display(shown.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(coarse, FINITE, rtol=0.005, atol=1e-5)


def test_slopes_meet_at_the_knee() -> None:
    light = np.float64([0.7873, 0.7874])
    step = 1e-3
    slopes = (
        SCENE.to_display((light + step).astype(np.float32)).astype(float)
        - SCENE.to_display((light - step).astype(np.float32))
    ) / (2 * step)
    assert abs(slopes[1] / slopes[0] - 1) < 0.01


def test_highlights_begin_at_diffuse_white() -> None:
    """They end a stop above; and a network that draws 3 % too much there gets no glaring light."""
    ends = np.array(SCENE.highlights, np.float32)
    np.testing.assert_allclose(SCENE.from_display(ends), [1.0, 2.0], rtol=1e-5)
    assert (SCENE.from_display(ends * np.float32(1.03)) / SCENE.from_display(ends) < 1.2).all()


@given(values=st.lists(st.floats(-1e5, 1e5, width=32), min_size=3, max_size=3))
def test_scene_linear_round_trip(values: list[float]) -> None:
    sample = np.array(values, np.float32)
    np.testing.assert_allclose(SCENE.from_display(SCENE.to_display(sample)), sample, rtol=1e-5, atol=1e-8)


def test_cineon_is_the_published_curve() -> None:
    """Code 685 is white (1.0), 95 is black, and 445 is 18 % grey, to the code."""
    cineon = BUILT_IN["cineon"]
    shown = cineon.to_display(np.float32([95, 445, 470, 685]) / 1023)
    light = SCENE.from_display(shown)
    black = 10 ** ((95 - 685) * 0.002 / 0.6)
    expected = [(10 ** ((code - 685) * 0.002 / 0.6) - black) / (1 - black) for code in (95, 445, 470, 685)]
    np.testing.assert_allclose(light, expected, atol=2e-6)
    for bits in (10, 12, 16):
        codes = np.arange(1 << bits) / np.float32((1 << bits) - 1)
        back = cineon.from_display(cineon.to_display(codes.astype(np.float32))) * ((1 << bits) - 1)
        assert abs(back - np.arange(1 << bits)).max() < 0.05


@pytest.mark.needs_vfx
@pytest.mark.parametrize("space", ["ACEScg", "ACES2065-1", "ACEScct", "scene_linear", "lin_rec709_srgb"])
def test_colour_spaces_come_back(space: str) -> None:
    transform = OcioTransform("ocio://default", space)
    top = 1 if space == "ACEScct" else 16
    sample = (top * np.random.default_rng(0).random((50, 40, 3)) ** 2).astype(np.float32)
    shown = transform.to_display(sample)
    assert shown.shape == sample.shape and shown.max() < 2.5
    np.testing.assert_allclose(transform.from_display(shown), sample, atol=2e-3)


@pytest.mark.needs_vfx
def test_aces_agrees_with_its_published_matrix() -> None:
    """AP1 to BT.709 with Bradford adaptation, of the ACES documents, then the scene-linear curve."""
    to_rec709 = np.array(
        [[1.70505, -0.62179, -0.08326], [-0.13026, 1.14080, -0.01055], [-0.02400, -0.12897, 1.15297]]
    )
    sample = np.random.default_rng(0).random((100, 3)).astype(np.float32)
    expected = SCENE.to_display((sample @ to_rec709.T).astype(np.float32))
    np.testing.assert_allclose(
        OcioTransform("ocio://default", "ACEScg").to_display(sample), expected, atol=2e-3
    )
    texture = OcioTransform("ocio://default", "lin_rec709_srgb", "sRGB - Texture")
    assert texture.highlights is None
    srgb = 1.055 * sample ** (1 / 2.4) - 0.055
    np.testing.assert_allclose(texture.to_display(sample)[sample > 0.01], srgb[sample > 0.01], atol=1e-5)


@pytest.mark.needs_vfx
def test_transforms_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ACEScg"):
        OcioTransform("ocio://default", "no such space")
    with pytest.raises(InputMissingError, match=r"absent\.ocio"):
        OcioTransform(str(tmp_path / "absent.ocio"), "ACEScg")
    broken = tmp_path / "broken.ocio"
    broken.write_text("ocio_profile_version: 2\nnonsense: [")
    with pytest.raises(BadInputError, match=r"broken\.ocio"):
        OcioTransform(str(broken), "ACEScg")
    clipping = tmp_path / "clipping.ocio"
    clipping.write_text(
        "ocio_profile_version: 2\nroles: {default: light}\n"
        "displays: {d: [!<View> {name: v, colorspace: light}]}\n"
        "colorspaces:\n  - !<ColorSpace> {name: light}\n  - !<ColorSpace>\n    name: clipped\n"
        "    to_scene_reference: !<RangeTransform> "
        "{min_in_value: 0, max_in_value: 0.5, min_out_value: 0, max_out_value: 0.5}\n"
    )
    with pytest.raises(UsageError, match="do not return"):
        OcioTransform(str(clipping), "clipped", "light")
    clipping.write_text(
        clipping.read_text() + "  - !<ColorSpace> {name: gone, to_scene_reference: "
        "!<FileTransform> {src: gone.cube}}\n"
    )
    with pytest.raises(InputMissingError, match=r"gone\.cube"):
        OcioTransform(str(clipping), "gone", "light")
    with pytest.raises(UsageError, match=r"linear Rec\.709"):
        OcioTransform(str(clipping), "light")


@pytest.mark.parametrize("name", ["display", "scene-linear", "cineon"])
def test_built_in_names(name: str) -> None:
    transform: DisplayTransform | None = display_transform(name)
    assert transform is BUILT_IN[name]
    assert display_transform(None) is None
    with pytest.raises(UsageError, match="--colorspace"):
        display_transform(None, "ocio://default")
