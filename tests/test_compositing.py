"""Matte, layer, ST-map and holdout, against what the blend itself does."""

from __future__ import annotations

import threading
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
from crossface.engine.compositing.holdout import Holdout, kept
from crossface.engine.compositing.layers import face_layer
from crossface.engine.errors import (
    BadInputError,
    InputMissingError,
    OutputError,
    OutputExistsError,
    UsageError,
)
from crossface.engine.frame import ColourDescription, Frame, Matrix, Siting, Transfer
from crossface.engine.sequence.name import find_sequence
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


def noise_frame(colour: ColourDescription, width: int = 101, height: int = 77) -> Frame:
    """Every code at random, at full chroma resolution."""
    kind = np.uint8 if colour.bits == 8 else np.uint16
    codes = np.random.default_rng(5).integers(0, 1 << colour.bits, (3, height, width)).astype(kind)
    return Frame(0, 0, 0, Fraction(1), (codes[0], codes[1], codes[2]), colour, None)


def blended(frame: Frame, *arguments: NDArray[Any]) -> NDArray[np.float64]:
    """Codes 0..1 of the planes after a blend into a copy."""
    first, second, third = (plane.copy() for plane in frame.planes)
    kernels.blend(replace(frame, planes=(first, second, third)), *arguments)
    return np.stack([first, second, third], axis=-1) / frame.colour.white


@pytest.mark.parametrize("transfer", Transfer)
@pytest.mark.parametrize("matrix_of", [Matrix.BT2020_NCL, Matrix.RGB])
@settings(max_examples=12)
@given(matrix=st.composite(affine)(), seed=st.integers(0, 5))
def test_matte_and_layer_are_those_of_the_blend(
    transfer: Transfer, matrix_of: Matrix, matrix: NDArray[np.float64], seed: int
) -> None:
    """White less black, each blended into 16 bits, is the weight, highlights that stay included."""
    face, mask = face_and_mask(seed)
    frame = noise_frame(ColourDescription(matrix_of, True, Siting.LEFT, 16, 0, 0, transfer=transfer))
    layer = face_layer(frame, matrix, face, mask, MILD)
    weight, colour = np.zeros(frame.planes[0].shape), np.zeros((*frame.planes[0].shape, 3))
    if layer is not None:
        weight[layer.rows, layer.columns], colour[layer.rows, layer.columns] = layer.weight, layer.colour
    flat = np.ones((SIDE, SIDE), np.float32)
    black = replace(frame, planes=tuple(np.zeros((SIDE, SIDE), np.uint16) for _ in range(3)))
    white_code = blended(black, np.eye(2, 3), np.ones_like(face), flat, np.eye(3, 4))[9, 9, 0]
    used = blended(frame, matrix, np.ones_like(face), mask, np.eye(3, 4))[..., 0]
    used -= blended(frame, matrix, np.zeros_like(face), mask, np.eye(3, 4))[..., 0]
    assert np.abs(weight - used / white_code).max() <= 2 / 65535 / white_code
    if matrix_of is Matrix.RGB:
        green_first = colour[..., [1, 2, 0]]
        below = np.stack(frame.planes, axis=-1) / 65535
        converted = blended(frame, matrix, face, mask, MILD)
        assert np.abs(green_first + (1 - weight[..., None]) * below - converted).max() <= 1 / 65535


@settings(max_examples=30)
@given(matrix=st.composite(affine)())
def test_st_map_says_where_a_pixel_comes_from(matrix: NDArray[np.float64]) -> None:
    """A crop position, in px from the top left, taken through the affine, is that pixel's centre."""
    frame = noise_frame(ColourDescription(Matrix.BT709, True, Siting.LEFT, 8, 0, 0))
    layer = face_layer(frame, matrix, *face_and_mask(), COLOUR)
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
    outputs.blend(frame, matrix, face, mask, colour)


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
    """To the sample, though the aligned face is coarser; the rest is as without a holdout."""
    reader = Reader(film(tmp_path / "film.mkv"))
    matte = tmp_path / "m.####.exr"
    with CompositorOutputs(
        reader.info, holdout=holdout(tmp_path / "h", extension, channels), matte=matte
    ) as outputs:
        for frame in reader:
            before = [plane.copy() for plane in frame.planes]
            plain = blended(frame, MATRIX, *face_and_mask(), COLOUR)
            blend(outputs, frame)
            outputs.write(frame)
            for n, (plane, old) in enumerate(zip(frame.planes, before, strict=True)):
                np.testing.assert_array_equal(plane[:, :60], old[:, :60])
                np.testing.assert_array_equal(plane[:, 60:], np.rint(255 * plain[:, 60:, n]))
            assert (plane[:, 60:] != old[:, 60:]).any()
            written = read_rgb(tmp_path / f"m.{frame.index:04}.exr")[..., 0]
            assert not written[:, :60].any() and written[:, 60:].max() == 1


@pytest.mark.parametrize("siting", Siting)
@pytest.mark.parametrize(("bits", "padding"), [(8, 0), (10, 6)])
def test_holdout_of_chroma(siting: Siting, bits: int, padding: int) -> None:
    """Chroma is kept where all luma that it belongs to is, and mixed at the edge; codes stay codes."""
    colour = ColourDescription(Matrix.BT709, False, siting, bits, 1, 1, padding)
    kind = np.uint8 if bits == 8 else np.uint16
    low, high = kind(50 << padding), kind(200 << padding)
    planes = tuple(np.full(shape, low) for shape in ((21, 31), (11, 16), (11, 16)))
    frame = Frame(0, 0, 0, Fraction(1), planes, colour, None)
    held = np.zeros((21, 31), np.float32)
    held[:, :15] = 1
    held[:10, 15] = 0.5
    with kept(frame, held):
        for plane in frame.planes:
            plane[...] = high
    codes = [plane >> padding for plane in frame.planes]
    assert all((code << padding == plane).all() for code, plane in zip(codes, frame.planes, strict=True))
    assert (codes[0][:, :15] == 50).all() and (codes[0][:10, 15] == 125).all()
    assert (codes[0][:, 16:] == 200).all() and (codes[0][10:, 15] == 200).all()
    # Luma columns 14 and 15 share a chroma sample, which lies on 14 where it is co-sited.
    beside = {Siting.CENTRE: 0.5 * 50 + 0.5 * 200}.get(siting, 0.75 * 50 + 0.25 * 200)
    for code in codes[1:]:
        assert (code[:, :7] == 50).all() and (code[6:, 8:] == 200).all()
        assert (np.abs(code[6:, 7] - beside) <= 0.5).all()


def test_holdout_film_and_its_own_matte(tmp_path: Path) -> None:
    """What was written as a matte is taken as a holdout; a film works by the order of its frames."""
    reader = Reader(film(tmp_path / "film.mkv"))
    frames = list(reader)
    with CompositorOutputs(reader.info, matte=tmp_path / "m.####.exr") as outputs:
        for frame in frames:
            blend(outputs, frame)
            outputs.write(frame)
    with Holdout(tmp_path / "m.####.exr", reader.info) as held:
        np.testing.assert_array_equal(held.matte(frames[1]), read_rgb(tmp_path / "m.0001.exr")[..., 0])
    with Holdout(tmp_path / "film.mkv", reader.info) as held:
        first, again, last = (held.matte(frames[n]) for n in (1, 1, 2))
        assert first.shape == (90, 120) and first is again and (first != last).any()
        assert 0 <= first.min() < first.max() <= 1


def test_holdouts_that_do_not_fit(tmp_path: Path) -> None:
    reader = Reader(film(tmp_path / "film.mkv", frames=5))
    frames = list(reader)
    with Holdout(holdout(tmp_path / "short", ".exr", ("A",)), reader.info) as held:
        held.matte(frames[2])
        with pytest.raises(InputMissingError, match=r"h\.0010"):
            held.matte(frames[3])
    with (
        Holdout(film(tmp_path / "short.mkv", frames=2), reader.info) as held,
        pytest.raises(BadInputError, match="frame 2"),
    ):
        held.matte(frames[2])
    small = make_clip(tmp_path / "small.mp4")
    with pytest.raises(BadInputError, match="96x64"):
        CompositorOutputs(reader.info, holdout=small)
    assert not any(small.name in thread.name for thread in threading.enumerate())
    with pytest.raises(InputMissingError):
        CompositorOutputs(reader.info, holdout=tmp_path / "absent.####.exr")


def test_outputs_that_are_refused(tmp_path: Path) -> None:
    reader = Reader(film(tmp_path / "film.mkv"))
    (frame, *_) = reader
    for matte, message in (("m.####.dpx", "DPX"), ("film.mkv", "sequence"), ("m.mp4", "sequence")):
        with pytest.raises(UsageError, match=message):
            CompositorOutputs(reader.info, matte=tmp_path / matte)
    (tmp_path / "alias").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="named twice"):
        CompositorOutputs(reader.info, matte=tmp_path / "a.####.exr", layer=tmp_path / "alias" / "a.%d.exr")
    with pytest.raises(UsageError, match="named twice"):
        beside = find_sequence(tmp_path / "a.####.exr")
        CompositorOutputs(reader.info, matte=tmp_path / "a.$F4.exr", beside=beside)
    with pytest.raises(UsageError, match="named twice"):
        CompositorOutputs(
            reader.info,
            matte=tmp_path / "h" / "h.%04d.exr",
            holdout=holdout(tmp_path / "h", ".exr", ("A",)),
            overwrite=True,
        )
    with pytest.raises(OutputError, match="absent"):
        CompositorOutputs(reader.info, matte=tmp_path / "absent" / "a.####.exr")
    (tmp_path / "m.0000.exr").touch()
    with pytest.raises(OutputExistsError, match=r"m\.0000\.exr"):
        CompositorOutputs(reader.info, matte=tmp_path / "m.####.exr")
    light = write_picture(tmp_path / "s.1.exr", np.zeros((20, 20, 3), np.float16))
    with pytest.raises(UsageError, match=r"\.exr"):
        CompositorOutputs(SequenceReader(light).info, layer=tmp_path / "l.####.png")
    with CompositorOutputs(reader.info, matte=tmp_path / "f.####.exr") as outputs:
        face, mask = face_and_mask()
        with pytest.raises(UsageError, match="fields"):
            outputs.blend(replace(frame, whole=frame), MATRIX, face, mask, COLOUR)


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
