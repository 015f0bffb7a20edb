"""Each encoder in each container: times, size, tags and samples are kept, or what is lost is named first."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType
from copy_clips import copied, described, lossless_clip, pictures, shown_times
from make_clips import make_clip, moving_picture

from crossface.engine.errors import UsageError
from crossface.engine.video.info import ContentLight, MasteringDisplay
from crossface.engine.video.planes import PIXEL_LAYOUTS, planes_of
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer
from crossface.engine.video.writing.codecs import choose_encoding

UNEVEN = (512, 700, 90, 512, 512, 1024, 512, 333, 512, 200)
SAMPLE_ASPECT = Fraction(64, 45)
# Quick where the default is slow: what is tested here does not depend on effort.
QUICK = {
    "libx264": {"preset": "ultrafast", "crf": "30", "x264-params": "bframes=3:b-adapt=0"},
    "libx265": {"preset": "ultrafast", "crf": "30"},
    "libsvtav1": {"preset": "12", "crf": "40"},
    "libvpx-vp9": {"crf": "40", "b": "0", "cpu-used": "8", "deadline": "realtime"},
}
MASTERING = MasteringDisplay(
    primaries=(
        (Fraction(35400, 50000), Fraction(14600, 50000)),
        (Fraction(8500, 50000), Fraction(39850, 50000)),
        (Fraction(6550, 50000), Fraction(2300, 50000)),
    ),
    white_point=(Fraction(15635, 50000), Fraction(16450, 50000)),
    min_luminance=Fraction(50, 10000),
    max_luminance=Fraction(1000),
)
BT2020_PQ = (9, 16, 9, 1)


FITTING = [
    ("libx264", "yuv420p", (".mp4", ".mov", ".mkv")),
    ("libx264", "yuv422p10le", (".mp4", ".mkv")),
    ("libx265", "yuv420p", (".mp4", ".mov", ".mkv")),
    ("libx265", "yuv444p12le", (".mp4", ".mkv")),
    ("libsvtav1", "yuv420p10le", (".mp4", ".mkv", ".webm")),
    ("prores", "yuv422p10le", (".mov", ".mkv")),
    ("dnxhr", "yuv422p10le", (".mov",)),
    ("ffv1", "yuv420p12le", (".mp4", ".mkv")),
    ("libvpx-vp9", "yuv420p", (".mp4", ".mkv", ".webm")),
    ("mpeg2video", "yuv420p", (".mp4", ".mov", ".mkv")),
    ("mpeg4", "yuv420p", (".mp4", ".mkv")),
    ("mjpeg", "yuvj420p", (".mp4", ".mov", ".mkv")),
]


@pytest.mark.parametrize(("codec", "pix_fmt", "suffixes"), FITTING)
def test_times_tags_and_shape_are_kept_or_named(
    tmp_path: Path, codec: str, pix_fmt: str, suffixes: Sequence[str]
) -> None:
    for count in (1, 2, 3, len(UNEVEN)):
        source = lossless_clip(
            tmp_path / f"{count}.mov", pix_fmt, durations=UNEVEN[:count], start_pts=512 * (count % 2),
            width=256, height=144, tags=(1, 1, 1, 2) if pix_fmt.startswith("yuvj") else BT2020_PQ,
            sample_aspect_ratio=SAMPLE_ASPECT,
        )  # fmt: skip
        before, times = described(source), shown_times(source)
        for suffix in suffixes:
            target = tmp_path / f"{count}{codec}{suffix}"
            after, losses = copied(source, target, codec=codec, options=QUICK.get(codec))
            assert (after.width, after.height, after.pix_fmt) == (256, 144, pix_fmt)
            assert after.colour.full_range == before.colour.full_range
            slack_s = 0 if suffix in {".mp4", ".mov"} else Fraction(1, 1000)
            for old, new in zip(times, shown_times(target), strict=True):
                assert max(abs(old[0] - new[0]), abs(old[1] - new[1])) <= slack_s
            assert (slack_s > 0) == any("rounds times to milliseconds" in loss for loss in losses)
            for name in ("primaries", "transfer", "matrix"):
                kept = getattr(after.tags, name) == getattr(before.tags, name)
                assert kept or any(f"tag {name}" in loss for loss in losses)
            kept = after.sample_aspect_ratio == SAMPLE_ASPECT
            assert kept or any("sample aspect" in loss for loss in losses)
            assert kept or codec == "mpeg2video"
            if before.colour.chroma_shift_y:
                kept = after.colour.siting == before.colour.siting
                assert kept or any("siting" in loss for loss in losses)
            assert len(losses) == len(set(losses))


@pytest.mark.parametrize("repetition", range(8))
def test_x265_writes_the_shortest_clips(tmp_path: Path, repetition: int) -> None:
    # It gives decode times of two frames from memory that nobody wrote to: not the same each time.
    source = lossless_clip(tmp_path / "in.mov", durations=(512,) * (2 + repetition % 2), start_pts=512)
    copied(source, tmp_path / "out.mp4", codec="libx265")
    assert shown_times(tmp_path / "out.mp4") == shown_times(source)


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "advice"),
    [
        ("libx264", ".mp4", "yuv420p12le", "libx265"),
        ("libx264", ".mkv", "gbrp", "ffv1"),
        ("libsvtav1", ".mp4", "yuv444p", "libx264"),
        ("libsvtav1", ".mkv", "yuv422p10le", "prores"),
        ("prores", ".mov", "yuv420p", "--pix-fmt yuv422p10le"),
        ("prores", ".mov", "yuv444p12le", "libx265"),
        ("dnxhr", ".mov", "yuv420p10le", "--pix-fmt yuv422p10le"),
        ("libvpx-vp9", ".webm", "yuv420p10le", "libsvtav1"),
        ("mpeg2video", ".mp4", "yuv444p", "libx264"),
        ("libx264", ".webm", "yuv420p", "libvpx-vp9"),
        ("ffv1", ".mov", "yuv420p", ".mkv"),
        ("libsvtav1", ".mov", "yuv420p", ".mp4"),
        ("prores", ".mp4", "yuv422p10le", ".mov"),
        ("utvideo", ".mkv", "yuv420p", "no other container"),
    ],
)  # fmt: skip
def test_what_cannot_be_held_is_refused_with_advice(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, advice: str
) -> None:
    info = described(lossless_clip(tmp_path / "in.mov", pix_fmt, durations=(512,)))
    with pytest.raises(UsageError) as caught:
        Writer(tmp_path / f"out{suffix}", info, codec=codec)
    message = str(caught.value)
    assert advice in message and f"out{suffix}" in message and "\n" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["in.mov"]


def test_alpha_is_refused_or_kept(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuva444p10le", options={}, time_base=Fraction(1, 1000),
        durations=(40, 40),
    )  # fmt: skip
    info = described(source)
    for codec in ("libx264", "libx265", "libvpx-vp9"):
        with pytest.raises(UsageError, match="ffv1"):
            Writer(tmp_path / "out.mkv", info, codec=codec)
    after, losses = copied(source, tmp_path / "out.mov", codec="prores")
    assert losses == [] and after.profile == "4444"
    for old, new in zip(pictures(source), pictures(tmp_path / "out.mov"), strict=True):
        # ProRes keeps alpha without loss; its decoder gives it two more bits.
        alpha = [np.frombuffer(picture.planes[3], "<u2").reshape(64, -1)[:, :96] for picture in (old, new)]
        np.testing.assert_array_equal(alpha[0], alpha[1] >> 2)


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "holds"),
    [
        ("libx264", ".mp4", "yuv420p", False),
        ("libx264", ".mp4", "yuv444p", True),
        ("libx265", ".mp4", "yuv420p", False),
        ("libx265", ".mp4", "yuv444p", True),
        ("libsvtav1", ".mp4", "yuv420p", True),
        ("libvpx-vp9", ".webm", "yuv420p", True),
        ("prores", ".mov", "yuv422p", True),
        ("dnxhr", ".mov", "yuv422p", True),
        ("ffv1", ".mkv", "yuv420p", True),
    ],
)
def test_odd_sizes_stay_or_are_refused(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str, holds: bool
) -> None:
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", pix_fmt=pix_fmt, options={}, width=321, height=181,
        durations=(40, 40), time_base=Fraction(1, 1000),
    )  # fmt: skip
    options = dict(QUICK.get(codec, {})) or None
    if holds:
        copied(source, tmp_path / f"out{suffix}", codec=codec, options=options)
        assert {(p.width, p.height) for p in pictures(tmp_path / f"out{suffix}")} == {(321, 181)}
    else:
        with pytest.raises(UsageError, match="321x181"):
            Writer(tmp_path / f"out{suffix}", described(source), codec=codec, options=options)


def test_depth_is_raised_exactly_and_said(tmp_path: Path) -> None:
    source = lossless_clip(tmp_path / "in.mov", "yuv422p", durations=(512,), width=256, height=144)
    _, losses = copied(source, tmp_path / "out.mov", codec="prores")
    assert any("8-bit samples are stored in 10 bits, multiplied by 4" in loss for loss in losses)
    # Samples of full range are not multiples of each other: refused rather than shifted.
    full = lossless_clip(tmp_path / "full.mov", "yuvj422p", durations=(512,))
    with pytest.raises(UsageError, match="yuvj422p"):
        Writer(tmp_path / "no.mov", described(full), codec="prores")


def test_a_range_that_cannot_be_told_is_refused(tmp_path: Path) -> None:
    source = lossless_clip(tmp_path / "in.mov", "yuv422p10le", durations=(512,), tags=(1, 1, 1, 2))
    assert described(source).colour.full_range
    with pytest.raises(UsageError, match="contrast"):
        Writer(tmp_path / "out.mov", described(source), codec="prores")


@pytest.mark.parametrize(
    ("encoder", "profile", "pix_fmt", "suffix", "options", "codec"),
    [
        ("libx264", "High 10", "yuv420p10le", ".mp4", {"preset": "ultrafast"}, "h264"),
        ("libx264", "High 4:2:2", "yuv422p10le", ".mov", {"preset": "ultrafast"}, "h264"),
        ("libx265", "Main 10", "yuv420p10le", ".mp4", {"preset": "ultrafast"}, "hevc"),
        ("libsvtav1", "Main", "yuv420p10le", ".mp4", {"preset": "12"}, "av1"),
        ("libvpx-vp9", "Profile 0", "yuv420p", ".mkv", {"cpu-used": "8", "deadline": "realtime"}, "vp9"),
        ("prores_ks", "LT", "yuv422p10le", ".mov", {"profile": "1"}, "prores"),
        ("prores_ks", "Proxy", "yuv422p10le", ".mov", {"profile": "0"}, "prores"),
        ("dnxhd", "DNXHR SQ", "yuv422p", ".mov", {"profile": "dnxhr_sq"}, "dnxhd"),
        ("dnxhd", "DNXHR 444", "yuv444p10le", ".mov", {"profile": "dnxhr_444"}, "dnxhd"),
        ("ffv1", None, "yuv422p12le", ".mkv", {}, "ffv1"),
        ("mpeg2video", "4:2:2", "yuv422p", ".mov", {"b": "8M"}, "mpeg2video"),
        ("mjpeg", "Baseline", "yuvj422p", ".mov", {}, "mjpeg"),
        ("v210", None, "yuv422p10le", ".mov", {}, "v210"),
        ("mpeg4", "Simple Profile", "yuv420p", ".mp4", {"b": "8M"}, "mpeg4"),
    ],
)  # fmt: skip
def test_the_codec_of_the_source(
    tmp_path: Path,
    encoder: str,
    profile: str | None,
    pix_fmt: str,
    suffix: str,
    options: dict[str, str],
    codec: str,
) -> None:
    unit = (
        Fraction(1, 1000)
        if suffix == ".mkv"
        else Fraction(1, 25)
        if encoder.startswith("mpeg")
        else Fraction(1, 12800)
    )
    source = make_clip(
        tmp_path / f"in{suffix}", codec=encoder, pix_fmt=pix_fmt, options=options, width=256, height=144,
        time_base=unit, durations=(int(Fraction(1, 25) / unit),) * 4,
        muxer={"video_track_timescale": str(unit.denominator)} if suffix != ".mkv" else None,
    )  # fmt: skip
    before = described(source)
    after, _ = copied(source, tmp_path / f"out{suffix}", codec="source")
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
    assert (after.profile, after.pix_fmt) == (before.profile, before.pix_fmt) == (profile, pix_fmt)
    assert shown_times(tmp_path / f"out{suffix}") == shown_times(source)
    for old, new in zip(pictures(source), pictures(tmp_path / f"out{suffix}"), strict=True):
        assert psnr(old, new) > 38


def test_a_codec_that_nothing_encodes_is_refused(tmp_path: Path) -> None:
    info = described(lossless_clip(tmp_path / "in.mov", durations=(512,)))
    with pytest.raises(UsageError, match=r"nothing here encodes vc1.*choose another --codec"):
        Writer(tmp_path / "out.mkv", replace(info, codec="vc1"), codec="source")


def test_dnxhd_of_fixed_rates_is_written_again(tmp_path: Path) -> None:
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("dnxhd", rate=25, options={"profile": "dnxhd", "b": "120M"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv422p"
        picture = moving_picture(0, 1920, 1080, "yuv422p")
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        output.mux([*stream.encode(picture), *stream.encode(None)])
    after, losses = copied(source, tmp_path / "out.mov", codec="source")
    assert losses == []
    assert (after.profile, after.bit_rate) == ("DNXHD", described(source).bit_rate)


def interlaced_clip(path: Path, codec: str, pix_fmt: str, order: str, flags: str) -> Path:
    """Six frames flagged as two fields each."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options={"flags": flags})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        for number in range(6):
            graph = av.filter.Graph()
            picture = moving_picture(number, 96, 64, pix_fmt)
            entry = graph.add_buffer(width=96, height=64, format=picture.format, time_base=Fraction(1, 25))
            flag, leave = graph.add("setfield", order), graph.add("buffersink")
            entry.link_to(flag)
            flag.link_to(leave)
            graph.configure()
            entry.push(picture)
            picture = leave.pull()
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize(
    ("codec", "suffix", "keeps"),
    [
        ("libx264", ".mp4", True),
        ("libx264", ".mkv", True),
        ("ffv1", ".mkv", True),
        ("mpeg2video", ".mov", True),
        ("source", ".mov", True),
        ("libx265", ".mp4", False),
    ],
)
def test_field_order_stays_or_is_named(
    tmp_path: Path, order: str, codec: str, suffix: str, keeps: bool
) -> None:
    for source in (
        interlaced_clip(tmp_path / "in.mov", "libx264", "yuv420p", order, "+ildct+ilme"),
        interlaced_clip(tmp_path / "deep.mov", "prores_ks", "yuv422p10le", order, "+ildct"),
    ):
        if codec == "mpeg2video" and source.name == "deep.mov":
            continue
        target = tmp_path / f"out{suffix}"
        with (
            Reader(source, trusted=True, interlaced="fields") as reader,
            Writer(target, reader.info, codec=codec, overwrite=True) as writer,
        ):
            assert reader.info.field_order == ("top_first" if order == "tff" else "bottom_first")
            for frame in reader:
                writer.write(frame)
        assert any("field order" in loss for loss in writer.losses) != keeps
        assert {picture.interlaced_frame for picture in pictures(target)} == {keeps}
        if keeps:
            with Reader(target, trusted=True, interlaced="fields") as again:
                assert again.info.field_order == reader.info.field_order


def psnr(old: av.VideoFrame, new: av.VideoFrame) -> float:
    """Of the luma, in dB."""
    peak = (1 << PIXEL_LAYOUTS[old.format.name].bits) - 1
    error = np.mean((planes_of(old)[0].astype(float) - planes_of(new)[0]) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(peak**2 / error)


@pytest.mark.parametrize(
    "codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores", "dnxhr", "ffv1"]
)
def test_defaults_keep_quality(clips: Path, tmp_path: Path, codec: str) -> None:
    # A part of a real picture, in the format that the codec takes.
    with Reader(clips / "single_face.mp4", trusted=True) as reader:
        first = next(iter(reader)).source
    assert first is not None
    pix_fmt = "yuv422p" if codec in {"prores", "dnxhr"} else "yuv420p"
    small = first.reformat(width=480, height=270, format=pix_fmt)
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 480, 270, pix_fmt
        for number in range(3):
            small.pts, small.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(small))
        output.mux(stream.encode(None))
    suffix = {"prores": ".mov", "dnxhr": ".mov"}.get(codec, ".mkv")
    copied(tmp_path / "in.mkv", tmp_path / f"out{suffix}", codec=codec)
    for old, new in zip(pictures(tmp_path / "in.mkv"), pictures(tmp_path / f"out{suffix}"), strict=True):
        if codec == "prores":
            np.testing.assert_allclose(planes_of(new)[0] / 4, planes_of(old)[0], atol=8)
        assert codec == "prores" or psnr(old, new) > 43


@pytest.mark.parametrize(("codec", "digits"), [("libx264", 9), ("libx265", 9), ("libsvtav1", 4)])
def test_mastering_display_and_light_level_travel(tmp_path: Path, codec: str, digits: int) -> None:
    source = lossless_clip(tmp_path / "in.mov", "yuv420p10le", durations=UNEVEN[:3], tags=BT2020_PQ)
    info = replace(
        described(source),
        mastering_display=MASTERING,
        content_light=ContentLight(1000, 400),
        hdr_metadata=("mastering display", "content light level", "HDR10+", "Dolby Vision"),
    )
    options = {**QUICK[codec]}
    with (
        Reader(source, trusted=True) as reader,
        Writer(tmp_path / "out.mp4", info, codec=codec, options=options) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    assert [loss.rpartition(": ")[2] for loss in writer.losses] == ["HDR10+", "Dolby Vision"]
    side_data = pictures(tmp_path / "out.mp4")[0].side_data
    numbers = struct.unpack("=22i", bytes(side_data[SideDataType.MASTERING_DISPLAY_METADATA])[:88])
    values = [over / under for over, under in zip(numbers[:20:2], numbers[1:20:2], strict=True)]
    assert MASTERING.primaries and MASTERING.white_point
    points = [*MASTERING.primaries, MASTERING.white_point]
    expected = [float(value) for point in points for value in point] + [0.005, 1000.0]
    assert values == pytest.approx(expected, abs=10.0**-digits if digits == 9 else 2e-4)
    assert struct.unpack("=2I", bytes(side_data[SideDataType.CONTENT_LIGHT_LEVEL])[:8]) == (1000, 400)


def test_hdr_metadata_is_named_as_lost_where_no_encoder_writes_it(tmp_path: Path) -> None:
    source = lossless_clip(tmp_path / "in.mov", "yuv422p10le", durations=(512,), tags=BT2020_PQ)
    info = replace(
        described(source), mastering_display=MASTERING, content_light=ContentLight(1000, 400),
        hdr_metadata=("mastering display", "content light level"),
    )  # fmt: skip
    for codec, suffix in (("prores", ".mov"), ("ffv1", ".mkv")):
        writer = Writer(tmp_path / f"out{suffix}", info, codec=codec)
        writer.abandon()
        lost = [loss.rpartition(": ")[2] for loss in writer.losses if "HDR" in loss]
        assert lost == ["mastering display", "content light level"]


def test_options_of_the_user_replace_quality_not_structure(tmp_path: Path) -> None:
    source = lossless_clip(tmp_path / "in.mov", "yuv422p10le", durations=(512,), width=256, height=144)
    copied(source, tmp_path / "a.mov", codec="prores", options={"profile": "0"})
    copied(source, tmp_path / "b.mov", codec="dnxhr", options={})
    assert (described(tmp_path / "a.mov").profile, described(tmp_path / "b.mov").profile) == (
        "Proxy",
        "DNXHR HQX",
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, {"crf": "16", "preset": "medium"}),
        ({"preset": "veryfast"}, {"crf": "16", "preset": "veryfast"}),
        ({"crf": "23"}, {"crf": "23", "preset": "medium"}),
        ({"qp": "0"}, {"qp": "0", "preset": "medium"}),
        ({"x264-params": "keyint=12:crf=20"}, {"x264-params": "keyint=12:crf=20", "preset": "medium"}),
        ({"x264-params": "keyint=12"}, {"x264-params": "keyint=12", "crf": "16", "preset": "medium"}),
    ],
)
def test_options_stand_beside_the_defaults(
    tmp_path: Path, options: dict[str, str] | None, expected: dict[str, str]
) -> None:
    with Reader(make_clip(tmp_path / "a.mp4", durations=(512,) * 2)) as reader:
        encoding = choose_encoding("libx264", reader.info, tmp_path / "out.mp4", options=options)
    # What has nothing to do with quality: see `choose_encoding`.
    chosen = dict(encoding.options)
    parameters = [each for each in chosen.pop("x264-params", "").split(":") if each and each != "asm=AVX2"]
    assert {**chosen, **({"x264-params": ":".join(parameters)} if parameters else {})} == expected


def test_the_same_pictures_give_the_same_bytes_whatever_lies_in_memory(tmp_path: Path) -> None:
    """With AVX-512, x264 reads memory that it has not written."""
    code = """
import hashlib, sys
from pathlib import Path
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer
with Reader(sys.argv[1]) as reader, Writer(sys.argv[2], reader.info, overwrite=True, threads=2) as writer:
    for frame in reader:
        writer.write(frame)
print(hashlib.sha256(Path(sys.argv[2]).read_bytes()).hexdigest())
"""
    large = make_clip(tmp_path / "large.mp4", width=960, height=540, durations=(512,) * 24)
    hashes = set()
    for fill in ("0", "85", "170"):
        command = [sys.executable, "-c", code, str(large), str(tmp_path / "out.mp4")]
        environment = {**os.environ, "MALLOC_PERTURB_": fill}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        hashes.add(done.stdout)
    assert len(hashes) == 1
