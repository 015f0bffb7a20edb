"""Whole conversions of real faces in the formats that post houses send, field by field, and of spans."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import reference_pixels as reference
from av.video.frame import PictureType
from numpy.typing import NDArray

from crossface.engine.analyze import analyze
from crossface.engine.clip import ReadingSettings
from crossface.engine.convert import CompositorPaths, ConversionSettings, convert
from crossface.engine.errors import UsageError
from crossface.engine.events import Event, Finished, Warned
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.video.reader import Reader

LOSSLESS = ConversionSettings(colour="none", codec="ffv1", encoder_options={})
FRAMES = 6
TICK = Fraction(1, 25)


def run(events: Iterator[Event]) -> tuple[Finished, list[str]]:
    *rest, finished = events
    assert isinstance(finished, Finished)
    return finished, [event.message for event in rest if isinstance(event, Warned)]


def pictures(clips: Path, count: int) -> list[av.VideoFrame]:
    with av.open(str(clips / "single_face.mp4")) as container:
        return [picture for picture, _ in zip(container.decode(video=0), range(count), strict=False)]


def write(path: Path, shown: list[av.VideoFrame], codec: str, pix_fmt: str, **context: Any) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = shown[0].width, shown[0].height, pix_fmt
        stream.time_base = stream.codec_context.time_base = TICK
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        for number, picture in enumerate(shown):
            picture = picture.reformat(format=pix_fmt)
            picture.pts, picture.time_base = number, TICK
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def planes(path: Path, **reading: Any) -> tuple[list[list[NDArray[Any]]], Any]:
    with Reader(path, **reading) as reader:
        return [[plane.copy() for plane in frame.planes] for frame in reader], reader.info.colour


def rgb(sample: list[float], colour: Any) -> NDArray[Any]:
    """Of one triple of code values."""
    if colour.matrix == 0:
        g, b, r = (value / colour.white for value in sample)
        return np.array([r, g, b])
    return reference.to_rgb(*(np.array(value) for value in sample), colour)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [
        ("ffv1", "yuv422p", "a.mkv"),
        ("ffv1", "yuv420p10le", "a.mkv"),
        ("ffv1", "yuv444p12le", "a.mkv"),
        ("ffv1", "bgr0", "a.mkv"),
        ("ffv1", "gbrp10le", "a.mkv"),
        ("ffv1", "gbrp16le", "a.mkv"),
        ("rawvideo", "nv12", "a.mkv"),
        ("rawvideo", "uyvy422", "a.mov"),
        ("png", "rgb24", "a.mov"),
        ("mjpeg", "yuvj420p", "a.mov"),
        ("prores_ks", "yuva444p10le", "a.mov"),
    ],
)
def test_a_face_is_swapped_in_its_own_format(
    clips: Path, swapper: Path, tmp_path: Path, codec: str, pix_fmt: str, name: str
) -> None:
    clip = write(tmp_path / name, pictures(clips, FRAMES), codec, pix_fmt)
    list(analyze(clip, tmp_path / "shot.faces"))
    finished, _ = run(
        convert(clip, swapper, tmp_path / "out.mkv", faces=tmp_path / "shot.faces", settings=LOSSLESS)
    )
    assert finished.faces == finished.frames == FRAMES
    before, colour = planes(clip)
    after, colour_after = planes(tmp_path / "out.mkv")
    assert (colour.bits, colour.matrix, colour.full_range) == (
        colour_after.bits,
        colour_after.matrix,
        colour_after.full_range,
    )
    for line, old, new in zip(FacesFile(tmp_path / "shot.faces"), before, after, strict=True):
        x0, y0, x1, y1 = (round(edge) for edge in line.faces[0].box)
        scale = 1 << colour.padding_bits
        for plane, (a, b) in enumerate(zip(old, new, strict=True)):
            a = a // scale
            shift_x, shift_y = (colour.chroma_shift_x, colour.chroma_shift_y) if plane else (0, 0)
            outside = np.ones(a.shape, bool)
            rows = slice((y0 - 60 if y0 > 60 else 0) >> shift_y, (y1 + 60) >> shift_y)
            outside[rows, (x0 - 30) >> shift_x : (x1 + 30) >> shift_x] = False
            assert np.array_equal(a[outside], b[outside])
        # The model inverts a face.
        middle = (x0 + x1) / 2, (y0 + y1) / 2
        colours = []
        for frame, description in ((old, colour), (new, colour_after)):
            sample = []
            for plane, values in enumerate(frame):
                shift_x, shift_y = (colour.chroma_shift_x, colour.chroma_shift_y) if plane else (0, 0)
                x, y = int(middle[0]) >> shift_x, int(middle[1]) >> shift_y
                block = values[y - 2 : y + 3, x - 2 : x + 3]
                sample.append(float(block.mean()) / (1 << description.padding_bits))
            colours.append(rgb(sample, description))
        np.testing.assert_allclose(colours[1], 1 - colours[0], atol=0.04)


def woven(shown: list[av.VideoFrame], *, top_first: bool) -> list[av.VideoFrame]:
    """Pairs of pictures as the fields of interlaced ones."""
    graph = av.filter.Graph()
    first = shown[0]
    source = graph.add_buffer(
        width=first.width, height=first.height, format=av.VideoFormat("yuv422p10le"), time_base=TICK
    )
    order = graph.add("setfield", "tff" if top_first else "bff")
    graph.link_nodes(source, order, graph.add("buffersink")).configure()
    frames = []
    for early, late in zip(shown[0::2], shown[1::2], strict=True):
        rows = early.to_ndarray(format="rgb24").copy()
        second = slice(1 if top_first else 0, None, 2)
        rows[second] = late.to_ndarray(format="rgb24")[second]
        graph.push(av.VideoFrame.from_ndarray(rows, format="rgb24").reformat(format="yuv422p10le"))
        frames.append(graph.pull())
        frames[-1].pict_type = PictureType.NONE
    return frames


@pytest.mark.parametrize("top_first", [True, False])
def test_fields_are_swapped_each_in_its_own_moment(
    clips: Path, swapper: Path, tmp_path: Path, top_first: bool
) -> None:
    # Moves by 12 px from one field to the next, so that a face placed by its frame would miss by 6.
    shown = []
    for number, picture in enumerate(pictures(clips, 8)):
        moved = np.roll(picture.to_ndarray(format="rgb24"), 12 * number, axis=1)
        shown.append(av.VideoFrame.from_ndarray(moved, format="rgb24"))
    clip = tmp_path / "interlaced.mov"
    write(clip, woven(shown, top_first=top_first), "prores_ks", "yuv422p10le", flags=1 << 18 | 1 << 29)
    with pytest.raises(Exception, match="--deinterlace"):
        list(convert(clip, swapper, tmp_path / "refused.mkv"))
    reading = ReadingSettings(interlaced="fields")
    list(analyze(clip, tmp_path / "shot.faces", reading=reading))
    lines = list(FacesFile(tmp_path / "shot.faces"))
    assert len(lines) == 8
    steps = [
        float(np.nanmean((b.faces[0].landmarks - a.faces[0].landmarks)[:, 0])) for a, b in pairwise(lines)
    ]
    np.testing.assert_allclose(steps, 12, atol=2.5)
    finished, _ = run(
        convert(
            clip,
            swapper,
            tmp_path / "out.mov",
            faces=tmp_path / "shot.faces",
            reading=reading,
            settings=ConversionSettings(colour="none", codec="prores"),
        )
    )
    assert finished.faces == 8
    with av.open(str(tmp_path / "out.mov")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 4 and all(frame.interlaced_frame for frame in frames)


def test_a_span_is_the_same_frames_as_of_the_whole(clips: Path, swapper: Path, tmp_path: Path) -> None:
    clip = clips / "single_face.mp4"
    faces = tmp_path / "shot.faces"
    list(analyze(clip, faces))
    # Colours, sharpness and noise of the plate are known from the frames before; a mark names its job.
    settings = ConversionSettings(
        colour="none",
        sharpness=0,
        grain=0,
        codec="ffv1",
        encoder_options={},
        unmarked_because="compared sample by sample",
    )
    run(convert(clip, swapper, tmp_path / "whole.mkv", faces=faces, settings=settings))
    reading = ReadingSettings(start="10", end="19")
    run(convert(clip, swapper, tmp_path / "part.mkv", faces=faces, settings=settings, reading=reading))
    whole, _ = planes(tmp_path / "whole.mkv")
    part, _ = planes(tmp_path / "part.mkv")
    assert len(part) == 10
    for old, new in zip(whole[10:20], part, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))


def test_a_range_outside_the_clip_is_refused(clips: Path, swapper: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outside the clip"):
        list(
            convert(
                clips / "single_face.mp4",
                swapper,
                tmp_path / "out.mp4",
                reading=ReadingSettings(start="9000"),
            )
        )


@pytest.mark.needs_vfx
def test_matte_and_layer_make_the_film_again(clips: Path, swapper: Path, tmp_path: Path) -> None:
    oiio = pytest.importorskip("OpenImageIO")
    clip = write(tmp_path / "a.mkv", pictures(clips, FRAMES), "ffv1", "gbrp16le")
    paths = CompositorPaths(matte=tmp_path / "matte.####.exr", layer=tmp_path / "layer.####.exr")
    run(convert(clip, swapper, tmp_path / "out.mkv", settings=LOSSLESS, compositing=paths))
    before, _ = planes(clip)
    after, _ = planes(tmp_path / "out.mkv")
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        matte = oiio.ImageBuf(str(tmp_path / f"matte.{number:04d}.exr")).get_pixels(oiio.FLOAT)
        layer = oiio.ImageBuf(str(tmp_path / f"layer.{number:04d}.exr")).get_pixels(oiio.FLOAT)
        assert matte.max() == 1 and matte.min() == 0
        for channel, (a, b) in zip((1, 2, 0), zip(old, new, strict=True), strict=True):
            again = layer[..., channel] * 65535 + (1 - matte[..., 0]) * a
            assert np.abs(again - b).max() <= 1.01


@pytest.mark.needs_vfx
def test_a_sequence_becomes_a_sequence(clips: Path, swapper: Path, tmp_path: Path) -> None:
    oiio = pytest.importorskip("OpenImageIO")
    for number, picture in enumerate(pictures(clips, FRAMES)):
        image = oiio.ImageBuf((picture.to_ndarray(format="rgb24").astype(np.float32) / 255) ** 2.2)
        image.write(str(tmp_path / f"in.{1001 + number}.exr"), oiio.HALF)
    finished, _ = run(convert(tmp_path / "in.####.exr", swapper, tmp_path / "out.####.exr"))
    assert finished.faces == finished.frames == FRAMES
    for number in range(1001, 1001 + FRAMES):
        a, b = (
            oiio.ImageBuf(str(tmp_path / f"{name}.{number}.exr")).get_pixels(oiio.HALF).view(np.uint16)
            for name in ("in", "out")
        )
        changed = (a != b).any(axis=2)
        assert 0.01 < changed.mean() < 0.5
        assert not changed[0].any() and not changed[-1].any()


def test_a_clip_without_a_face_is_a_copy_only_in_its_own_codec(
    clips: Path, swapper: Path, tmp_path: Path
) -> None:
    with av.open(str(clips / "no_face.mp4")) as container:
        shown = [picture for picture, _ in zip(container.decode(video=0), range(3), strict=False)]
    clip = write(tmp_path / "a.mov", shown, "libx264", "yuv420p")
    for codec, copied in (("libx264", True), ("source", True), ("libx265", False)):
        settings = ConversionSettings(codec=codec, encoder_options={"preset": "ultrafast"})
        output = tmp_path / f"{codec}.mov"
        run(convert(clip, swapper, output, settings=settings))
        assert (output.read_bytes() == clip.read_bytes()) == copied
        with av.open(str(output)) as container:
            assert container.streams.video[0].codec_context.name == ("h264" if copied else "hevc")
