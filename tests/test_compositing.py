"""Matte, layer, ST-map and holdout, against what the blend itself does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_clips import make_clip
from make_pictures import read_parts, read_rgb, write_picture
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.compositing import CompositorOutputs
from crossface.engine.compositing.layers import face_layer
from crossface.engine.errors import BadInputError, InputMissingError, OutputExistsError, UsageError
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting
from crossface.engine.sequence.reader import SequenceReader
from crossface.engine.sequence.writer import SequenceWriter
from crossface.engine.video.reader import Reader

pytestmark = pytest.mark.needs_vfx

SIDE = 32
MATRIX = np.array([[1.7, 0.4, 30.0], [-0.4, 1.7, 20.0]])
# Makes some pixels brighter than white, and some darker than black; the other does not.
COLOUR = np.hstack([np.eye(3) * 1.4, np.full((3, 1), -0.2)])


MILD = np.hstack([np.eye(3) * 0.9, np.full((3, 1), 0.02)])


def moved(x_px: float, y_px: float) -> NDArray[np.float64]:
    return np.column_stack([MATRIX[:, :2], MATRIX[:, 2] + [x_px, y_px]])


def face_and_mask(seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    mask = np.clip(1.5 - np.hypot(x, y) / 9, 0, 1).astype(np.float32)
    return np.random.default_rng(seed).random((3, SIDE, SIDE)).astype(np.float32), mask


def affine(draw: st.DrawFn) -> NDArray[np.float64]:
    angle, scale = draw(st.floats(-3, 3)), draw(st.floats(0.4, 4))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, [draw(st.floats(-60, 120)), draw(st.floats(-60, 100))]])


@settings(max_examples=40)
@given(matrix=st.composite(affine)(), seed=st.integers(0, 5))
def test_matte_is_the_weight_of_the_blend(matrix: NDArray[np.float64], seed: int) -> None:
    """White over black, blended into 16-bit luma of the whole frame, shows the weight of every sample."""
    width, height = 101, 77
    face, mask = face_and_mask(seed)
    colour = ColourDescription(Matrix.BT709, True, Siting.LEFT, 16, 0, 0)
    luma = np.zeros((height, width), np.uint16)
    grey = np.full((2, height, width), 1 << 15, np.uint16)
    kernels.blend(
        Frame(0, 0, 0, Fraction(1), (luma, grey[0], grey[1]), colour, None),
        matrix,
        np.ones_like(face),
        mask,
        np.eye(3, 4),
    )
    layer = face_layer(width, height, matrix, face, mask, COLOUR)
    weight = np.zeros((height, width))
    if layer is not None:
        weight[layer.rows, layer.columns] = layer.weight
    assert np.abs(weight - luma / 65535).max() <= 1 / 65535


@settings(max_examples=30)
@given(matrix=st.composite(affine)())
def test_st_map_says_where_a_pixel_comes_from(matrix: NDArray[np.float64]) -> None:
    """A crop position, in px from the top left, taken through the affine, is that pixel's centre."""
    layer = face_layer(101, 77, matrix, *face_and_mask(), COLOUR)
    if layer is None:
        return
    u, v = layer.place[..., 0].astype(float), layer.place[..., 1].astype(float)
    x = matrix @ np.stack([u * SIDE, (1 - v) * SIDE, np.ones_like(u)]).reshape(3, -1)
    x = x.reshape(2, *u.shape)
    rows, columns = np.mgrid[layer.rows, layer.columns] + 0.5
    assert np.abs(x[0] - columns)[layer.inside].max(initial=0) < 1e-3
    assert np.abs(x[1] - rows)[layer.inside].max(initial=0) < 1e-3
    assert not layer.weight[~layer.inside].any()


@contextmanager
def composited(
    source: Path, folder: Path, extension: str, **options: Any
) -> Iterator[tuple[CompositorOutputs, SequenceReader, SequenceWriter]]:
    folder.mkdir()
    reader = SequenceReader(source)
    names = {kind: folder / f"{kind}.####{extension}" for kind in ("matte", "layer", "stmap")}
    out = folder / f"out.####{source.suffix}"
    with (
        CompositorOutputs(reader.info, **names, **options) as outputs,
        SequenceWriter(out, reader.info) as writer,
    ):
        yield outputs, reader, writer


def blend(
    outputs: CompositorOutputs,
    frame: Frame,
    matrix: NDArray[np.float64] = MATRIX,
    seed: int = 0,
    colour: NDArray[np.float64] = COLOUR,
) -> None:
    face, mask = face_and_mask(seed)
    mask = mask * (1 - outputs.held(frame, matrix, SIDE))
    outputs.add_face(frame, matrix, face, mask, colour)
    kernels.blend(frame, matrix, face, mask, colour)


LOG = {"oiio:BitsPerSample": 10, "dpx:Transfer": "Logarithmic"}


@pytest.mark.parametrize(
    ("source", "dtype", "attributes", "extension", "tolerance"),
    [
        (".png", "uint8", {}, ".exr", 1 / 255),
        (".png", "uint8", {}, ".png", 1 / 255),
        (".png", "uint8", {}, ".tif", 1 / 255),
        (".png", "uint16", {}, ".exr", 1 / 65535),
        (".dpx", "uint16", {"oiio:BitsPerSample": 10}, ".exr", 1 / 1023),
        (".dpx", "uint16", LOG, ".exr", 1 / 1023),
        (".exr", "float16", {}, ".exr", 1e-6),
        (".exr", "float32", {}, ".exr", 1e-6),
    ],
)
def test_layer_over_source_is_the_converted_frame(
    tmp_path: Path, source: str, dtype: str, attributes: dict[str, Any], extension: str, tolerance: float
) -> None:
    colour = COLOUR if extension == ".exr" else MILD
    random = np.random.default_rng(0)
    if dtype.startswith("float"):
        samples = (3 * random.random((90, 120, 3))).astype(dtype)
    else:
        samples = random.integers(0, np.iinfo(dtype).max + 1, (90, 120, 3)).astype(dtype)
    before = write_picture(tmp_path / f"s.0007{source}", samples, **attributes)
    pattern, folder = tmp_path / f"s.####{source}", tmp_path / "out"
    with composited(pattern, folder, extension, comment="swapped") as (outputs, reader, writer):
        for frame in reader:
            blend(outputs, frame, colour=colour)
            blend(outputs, frame, moved(25, 10), seed=3, colour=colour)
            outputs.write(frame)
            writer.write(frame)
    matte, layer = (read_rgb(folder / f"{kind}.0007{extension}") for kind in ("matte", "layer"))
    old, new = read_rgb(before), read_rgb(folder / f"out.0007{source}")
    assert (old != new).any(axis=-1).mean() > 0.05
    again = layer[..., :3] + (1 - matte[..., :1]) * old
    assert np.abs(again - new).max() <= tolerance * np.maximum(1, new).max()
    assert not layer[matte[..., 0] == 0].any()
    np.testing.assert_allclose(layer[..., 3], matte[..., 0], atol=1 / 65535)
    stmap = read_rgb(folder / f"stmap.0007{extension}")
    np.testing.assert_allclose(stmap[..., 2], matte[..., 0], atol=1 / 65535)
    assert stmap[matte[..., 0] > 0.5][:, :2].min() > 0
    assert "swapped" in str(read_parts(folder / f"layer.0007{extension}")[0].metadata)


def film(path: Path, frames: int = 3) -> Path:
    return make_clip(
        path, width=120, height=90, codec="ffv1", options={}, pix_fmt="yuv444p", durations=(40,) * frames,
        time_base=Fraction(1, 1000),
    )  # fmt: skip


def test_frames_of_a_film_in_batches(tmp_path: Path) -> None:
    """Faces of several frames are told before the first is written; frames without one give black."""
    reader = Reader(film(tmp_path / "film.mkv"))
    frames = list(reader)
    with CompositorOutputs(reader.info, matte=tmp_path / "m.####.png", first_number=1001) as outputs:
        blend(outputs, frames[0])
        blend(outputs, frames[2], moved(10, 0))
        for frame in frames:
            outputs.write(frame)
    mattes = [read_rgb(tmp_path / f"m.{n}.png")[..., 0] for n in (1001, 1002, 1003)]
    assert mattes[0].max() == 1 and not mattes[1].any()
    np.testing.assert_allclose(mattes[2][:, 10:], mattes[0][:, :-10], atol=2 / 65535)


def holdout(folder: Path, extension: str, channels: tuple[str, ...], columns: int = 60) -> Path:
    """White left of a column, for frames 7 to 9."""
    matte = np.zeros((90, 120, len(channels)), np.float32)
    matte[:, :columns] = 1
    folder.mkdir()
    stored = matte if extension == ".exr" else (matte * 255).astype(np.uint8)
    for number in (7, 8, 9):
        write_picture(folder / f"h.{number:04}{extension}", stored, channels=channels)
    return folder / f"h.####{extension}"


@pytest.mark.parametrize(
    ("extension", "channels"),
    [(".exr", ("A",)), (".exr", ("R", "G", "B")), (".png", ("Y",)), (".tif", ("R", "G", "B"))],
)
def test_holdout_keeps_the_source(tmp_path: Path, extension: str, channels: tuple[str, ...]) -> None:
    reader = Reader(film(tmp_path / "film.mkv"))
    with CompositorOutputs(reader.info, holdout=holdout(tmp_path / "h", extension, channels)) as outputs:
        for frame in reader:
            before = [plane.copy() for plane in frame.planes]
            blend(outputs, frame)
            outputs.write(frame)
            differs = np.any([a != b for a, b in zip(before, frame.planes, strict=True)], axis=0)
            # The matte is seen at the crop's own resolution of 1.75 px.
            assert not differs[:, : 60 - 4].any() and differs[:, 60 + 4 :].any()


def test_holdout_film_and_its_own_matte(tmp_path: Path) -> None:
    """What was written as a matte is taken as a holdout; a film works by the order of its frames."""
    reader = Reader(film(tmp_path / "film.mkv"))
    frames = list(reader)
    with CompositorOutputs(reader.info, matte=tmp_path / "m.####.exr") as outputs:
        for frame in frames:
            blend(outputs, frame)
            outputs.write(frame)
    _, mask = face_and_mask()
    for path in (tmp_path / "m.####.exr", tmp_path / "film.mkv"):
        with CompositorOutputs(reader.info, holdout=path) as outputs:
            held = outputs.held(frames[1], MATRIX, SIDE)
            assert held.shape == (SIDE, SIDE) and held.min() >= 0 and held.max() <= 1
            if path.suffix == ".exr":
                np.testing.assert_allclose(held[8:-8, 8:-8], mask[8:-8, 8:-8], atol=0.02)
            again = outputs.held(frames[1], MATRIX, SIDE)
            np.testing.assert_array_equal(held, again)
            outputs.held(frames[2], MATRIX, SIDE)


def test_holdouts_that_do_not_fit(tmp_path: Path) -> None:
    reader = Reader(film(tmp_path / "film.mkv", frames=5))
    frames = list(reader)
    with CompositorOutputs(reader.info, holdout=holdout(tmp_path / "short", ".exr", ("A",))) as outputs:
        outputs.held(frames[2], MATRIX, SIDE)
        with pytest.raises(InputMissingError, match=r"h\.0010"):
            outputs.held(frames[3], MATRIX, SIDE)
    short = film(tmp_path / "short.mkv", frames=2)
    with (
        CompositorOutputs(reader.info, holdout=short) as outputs,
        pytest.raises(BadInputError, match="frame 2"),
    ):
        outputs.held(frames[2], MATRIX, SIDE)
    small = make_clip(tmp_path / "small.mp4")
    with pytest.raises(BadInputError, match="96x64"):
        CompositorOutputs(reader.info, holdout=small)
    with pytest.raises(InputMissingError):
        CompositorOutputs(reader.info, holdout=tmp_path / "absent.####.exr")


def test_outputs_that_are_refused(tmp_path: Path) -> None:
    reader = Reader(film(tmp_path / "film.mkv"))
    (frame, *_) = reader
    for matte, message in (("m.####.dpx", "DPX"), ("film.mkv", "sequence"), ("m.mp4", "sequence")):
        with pytest.raises(UsageError, match=message):
            CompositorOutputs(reader.info, matte=tmp_path / matte)
    with pytest.raises(UsageError, match="two outputs"):
        CompositorOutputs(reader.info, matte=tmp_path / "a.####.exr", layer=tmp_path / "a.%04d.exr")
    (tmp_path / "m.0000.exr").touch()
    with pytest.raises(OutputExistsError, match=r"m\.0000\.exr"):
        CompositorOutputs(reader.info, matte=tmp_path / "m.####.exr")
    light = write_picture(tmp_path / "s.1.exr", np.zeros((20, 20, 3), np.float16))
    with pytest.raises(UsageError, match=r"\.exr"):
        CompositorOutputs(SequenceReader(light).info, layer=tmp_path / "l.####.png")
    with CompositorOutputs(reader.info, matte=tmp_path / "f.####.exr") as outputs:
        face, mask = face_and_mask()
        with pytest.raises(UsageError, match="fields"):
            outputs.add_face(replace(frame, whole=frame), MATRIX, face, mask, COLOUR)


def test_abandoned_outputs_leave_nothing(tmp_path: Path) -> None:
    reader = Reader(film(tmp_path / "film.mkv"))
    (tmp_path / "o").mkdir()
    with (
        pytest.raises(ZeroDivisionError),
        CompositorOutputs(reader.info, matte=tmp_path / "o" / "m.####.exr") as outputs,
    ):
        for frame in reader:
            blend(outputs, frame)
            outputs.write(frame)
        assert len(list((tmp_path / "o").iterdir())) == 3
        raise ZeroDivisionError
    assert not list((tmp_path / "o").iterdir())
