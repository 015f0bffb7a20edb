"""NVENC: chosen by name, of constant quality, and a clear error where the machine has none."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest
from copy_clips import pictures
from emulated_decoder import EmulatedDecoder, EmulatedPicture
from emulated_lane import EmulatedLane
from make_clips import make_clip

from crossface.engine.clip import Clip
from crossface.engine.errors import DeviceUnavailableError, UsageError
from crossface.engine.jobs.route import encoding_device
from crossface.engine.on_device.download import Downloader
from crossface.engine.on_device.frame import LaneFrame
from crossface.engine.on_device.nvdec import Nvdec
from crossface.engine.video.part import PartWriter, needs_whole_film, part_suffix
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer
from crossface.engine.video.writing.codecs import choose_encoding
from crossface.engine.video.writing.encoder import takes_device_frames
from crossface.engine.video.writing.nvenc import NVENC
from crossface.engine.video.writing.picture import encoder_picture


def deep_clip(path: Path) -> Path:
    return make_clip(
        path,
        pix_fmt="yuv420p10le",
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=error"},
    )


@pytest.mark.parametrize("codec", NVENC)
def test_quality_is_constant_and_samples_are_kept(tmp_path: Path, codec: str) -> None:
    with Reader(make_clip(tmp_path / "in.mp4"), trusted=True) as reader:
        shallow = reader.info
    with Reader(deep_clip(tmp_path / "deep.mp4"), trusted=True) as reader:
        deep = reader.info
    encoding = choose_encoding(codec, shallow, tmp_path / "out.mp4")
    assert (encoding.encoder, encoding.pix_fmt, encoding.converts) == (codec, "yuv420p", False)
    assert encoding.options["rc"] == "constqp" and needs_whole_film(encoding) is None
    assert part_suffix(encoding) == ".mp4"
    assert choose_encoding(codec, deep, tmp_path / "out.mp4").pix_fmt == "p010le"
    on_device = choose_encoding(codec, replace(shallow, pix_fmt="nv12"), tmp_path / "out.mp4")
    assert on_device.pix_fmt == "nv12" and on_device.options == encoding.options
    by_user = choose_encoding(codec, shallow, tmp_path / "out.mp4", options={"cq": "19"})
    assert by_user.options == {"cq": "19", "preset": "p5"} and needs_whole_film(by_user) is None
    rate = choose_encoding(codec, shallow, tmp_path / "out.mp4", options={"b": "8M"})
    assert needs_whole_film(rate) == "b"
    # Of packed RGB it would make YUV by itself.
    assert choose_encoding(codec, replace(shallow, pix_fmt="rgb24"), tmp_path / "out.mkv").pix_fmt == "gbrp"
    with pytest.raises(UsageError, match=r"cannot hold rgba without .* use ffv1"):
        choose_encoding(codec, replace(shallow, pix_fmt="rgba"), tmp_path / "out.mkv")


def test_options_of_the_defaults_are_known(tmp_path: Path) -> None:
    with Reader(make_clip(tmp_path / "in.mp4"), trusted=True) as reader:
        for codec in NVENC:
            encoding = choose_encoding(codec, reader.info, tmp_path / "out.mp4")
            known = av.CodecContext.create(codec, "w").supported_options.private
            choices = {option.name: [choice.name for choice in option.choices] for option in known}
            limits = {option.name: (option.min, option.max) for option in known}
            assert encoding.options["rc"] in choices["rc"] and encoding.options["preset"] in choices["preset"]
            low, high = limits["qp"]
            assert low <= int(encoding.options["qp"]) <= high


@pytest.mark.parametrize("codec", NVENC)
def test_a_film_is_written_or_nvenc_is_said_to_be_absent(tmp_path: Path, codec: str) -> None:
    source, out = make_clip(tmp_path / "in.mp4", width=320, height=240), tmp_path / "out.mp4"
    with Reader(source, trusted=True) as reader:
        encoding = choose_encoding(codec, reader.info, out)
        try:
            with Writer(out, reader.info, codec=codec) as writer:
                for frame in reader:
                    writer.write(frame)
        except DeviceUnavailableError as error:
            assert error.exit_code == 69 and f"use --codec {NVENC[codec]}" in str(error)
            assert str(out) in str(error) and "crossface probe" in str(error)
            with pytest.raises(DeviceUnavailableError, match=NVENC[codec]):
                PartWriter(tmp_path / "part.mp4", reader.info, encoding, threads=1)
            assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
            return
    shown = [picture.pts * picture.time_base for picture in pictures(out)]
    assert shown == [picture.pts * picture.time_base for picture in pictures(source)]


def test_frames_on_a_device_want_an_encoder_of_the_device(tmp_path: Path) -> None:
    with Reader(make_clip(tmp_path / "in.mp4"), trusted=True) as reader:
        info = reader.info
    nowhere = Nvdec(63, nullcontext)
    for codec, pix_fmt, message in (
        ("libx264", None, "libx264 takes no yuv420p frames from a GPU"),
        ("hevc_nvenc", "p010le", "frames from a GPU as p010le"),
        ("hevc_nvenc", None, "finds no device"),
    ):
        encoding = choose_encoding(codec, info, tmp_path / "part.mp4", pix_fmt=pix_fmt)
        assert takes_device_frames(encoding, info) == (message == "finds no device")
        with pytest.raises(DeviceUnavailableError, match=message):
            PartWriter(tmp_path / "part.mp4", info, encoding, threads=1, device=nowhere)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_decoders_frame_goes_to_the_encoder_as_it_is(tmp_path: Path) -> None:
    with Reader(make_clip(tmp_path / "in.mp4"), trusted=True, hardware=EmulatedDecoder()) as reader:
        info = reader.info
        frame = next(iter(reader.decoded()))
    assert isinstance(frame, LaneFrame)
    encoding = choose_encoding("h264_nvenc", info, tmp_path / "out.mp4")
    assert encoder_picture(frame, info, encoding, tmp_path / "out.mp4") is frame.source
    other: Any = EmulatedPicture(av.VideoFrame(96, 64, "p010le"))
    wrong = replace(frame, source=other, planes=replace(frame.planes))
    with pytest.raises(UsageError, match="not 96x64 nv12"):
        encoder_picture(wrong, info, encoding, tmp_path / "out.mp4")


def test_another_pixel_format_is_made_in_the_hosts_memory(tmp_path: Path) -> None:
    with Clip(make_clip(tmp_path / "in.mp4"), hardware=EmulatedDecoder()) as clip:
        assert clip.hardware is not None
        for pix_fmt, where in ((None, clip.hardware), ("p010le", None)):
            encoding = choose_encoding("hevc_nvenc", clip.source, tmp_path / "out.mp4", pix_fmt=pix_fmt)
            assert encoding_device(clip, encoding) is where


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_where_a_film_is_decoded_does_not_change_its_parts(tmp_path: Path, codec: str, deep: bool) -> None:
    """So that parts from different machines can be joined."""
    source = deep_clip(tmp_path / "in.mp4") if deep else make_clip(tmp_path / "in.mp4")
    parts = []
    for hardware in (None, EmulatedDecoder()):
        path = tmp_path / f"{len(parts)}.mp4"
        lane = EmulatedLane()
        downloader = Downloader(lane)
        with Reader(source, trusted=True, hardware=hardware) as reader:
            encoding = choose_encoding(codec, reader.info, path)
            with PartWriter(path, reader.info, encoding, threads=2) as writer:
                for frame in reader.decoded():
                    if isinstance(frame, LaneFrame):
                        downloader.fetch(frame)
                        lane.synchronize()
                        frame = downloader.land(frame)
                    writer.write(frame)
        parts.append(path.read_bytes())
    assert parts[0] == parts[1]
