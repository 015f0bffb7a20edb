"""A film in which no face is swapped comes out as it went in: every sample, every time, every other stream.

Compared by PyAV alone, which opens both files and decodes them on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType
from make_clips import make_clip, moving_picture
from make_streams import decoded_sound, packets_of

from crossface.engine.convert import ConversionSettings, convert
from crossface.engine.errors import UsageError
from crossface.engine.events import Finished, Warned
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Writer

LOSSLESS_H264 = {"preset": "ultrafast", "qp": "0"}
LOSSLESS_HEVC = {"preset": "ultrafast", "x265-params": "lossless=1"}
MASTERING = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"
UNEVEN = (512, 700, 90, 512, 2048, 333, 512, 1000)


@dataclass
class Film:
    """What PyAV sees of a file.

    Attributes:
        times: start and duration of each frame, in seconds; the last duration is that of the track.
        samples: of each frame, all planes without padding.
        look: what says how frames are shown.
        mastering: mastering display and light level of the first frame, as libav lays them out.
    """

    times: list[tuple[Fraction, Fraction]] = field(default_factory=list)
    samples: list[bytes] = field(default_factory=list)
    look: dict[str, Any] = field(default_factory=dict)
    mastering: list[bytes | None] = field(default_factory=list)


def plane_bytes(picture: av.VideoFrame) -> bytes:
    """Samples without padding, with no help of ours."""
    parts = []
    for component, plane in zip(picture.format.components, picture.planes, strict=False):
        sample_bytes = -(-component.bits // 8)
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        parts.append(rows[: component.height, : component.width * sample_bytes].tobytes())
    return b"".join(parts)


def film(path: Path) -> Film:
    seen = Film()
    with av.open(str(path)) as container:
        stream = next(
            s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic
        )
        starts = []
        for number, picture in enumerate(container.decode(stream)):
            starts.append(picture.pts * picture.time_base)
            seen.samples.append(plane_bytes(picture))
            if number == 0:
                full_range = picture.color_range == 2 or picture.format.name.startswith("yuvj")
                seen.look = {
                    "size": (picture.width, picture.height),
                    "format": picture.format.name.replace("yuvj", "yuv"),
                    "full range": full_range,
                    "primaries": int(picture.color_primaries),
                    "transfer": int(picture.color_trc),
                    "matrix": int(picture.colorspace),
                    "rotation": picture.rotation,
                    "sample aspect": stream.sample_aspect_ratio or 1,
                }
                kinds = (SideDataType.MASTERING_DISPLAY_METADATA, SideDataType.CONTENT_LIGHT_LEVEL)
                data = picture.side_data
                seen.mastering = [bytes(data[kind]) if kind in data else None for kind in kinds]
        end = starts[-1]
        if "mp4" in container.format.name:
            assert stream.duration is not None and stream.start_time is not None
            end = (stream.start_time + stream.duration) * stream.time_base
        seen.times = [(a, b - a) for a, b in pairwise([*starts, end])]
    return seen


def through(source: Path, target: Path, codec: str, options: dict[str, str] | None) -> list[str]:
    """Decoded by our Reader, encoded by our Writer, with no face touched."""
    with (
        Reader(source, trusted=True) as reader,
        Writer(
            target, reader.info, codec=codec, options=None if options is None else dict(options)
        ) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    return writer.losses


def assert_same(source: Path, target: Path, *, slack_s: Fraction | int = 0) -> None:
    old, new = film(source), film(target)
    assert len(new.samples) == len(old.samples)
    assert new.samples == old.samples
    assert new.look == old.look
    for before, after in zip(old.times, new.times, strict=True):
        assert max(abs(before[0] - after[0]), abs(before[1] - after[1])) <= slack_s
    for (kind, before_packets), (same_kind, after_packets) in zip(
        packets_of(source), packets_of(target), strict=True
    ):
        assert kind == same_kind
        assert [packet[2] for packet in after_packets] == [packet[2] for packet in before_packets]
        for before_packet, after_packet in zip(before_packets, after_packets, strict=True):
            assert abs(before_packet[0] - after_packet[0]) <= slack_s


H264_KINDS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
HEVC_KINDS = ["yuv420p12le", "yuv422p12le", "yuv444p12le", "gbrp", "gbrp10le", "gbrp12le"]


@pytest.mark.parametrize("pix_fmt", H264_KINDS + HEVC_KINDS)
def test_every_depth_and_chroma(tmp_path: Path, pix_fmt: str) -> None:
    hevc = pix_fmt in HEVC_KINDS
    rgb = pix_fmt.startswith("gbrp")
    codec, options = ("libx265", LOSSLESS_HEVC) if hevc else ("libx264", LOSSLESS_H264)
    source = make_clip(
        tmp_path / "in.mp4", codec=codec, pix_fmt=pix_fmt, options=options, durations=UNEVEN, audio_s=(1.0,),
        tags=(1, 1, 0, 2) if rgb else (1, 1, 1, 1), max_b_frames=0,
    )  # fmt: skip
    assert film(source).look["format"] == pix_fmt
    assert through(source, tmp_path / "out.mp4", codec, options) == []
    assert_same(source, tmp_path / "out.mp4")
    if pix_fmt != "gbrp":
        assert not [x for x in through(source, tmp_path / "ffv1.mp4", "ffv1", None) if "siting" not in x]
        assert_same(source, tmp_path / "ffv1.mp4")
    losses = through(source, tmp_path / "out.mkv", "ffv1", None)
    assert all("rounds times" in x or "rounded" in x or "starts before 0" in x for x in losses)
    if pix_fmt == "gbrp":
        # FFV1 lays 8-bit RGB out as bgr0.
        with av.open(str(tmp_path / "out.mkv")) as container:
            again = [plane_bytes(picture.reformat(format="gbrp")) for picture in container.decode(video=0)]
        assert again == film(source).samples
    else:
        assert film(tmp_path / "out.mkv").samples == film(source).samples


CASES: dict[str, dict[str, Any]] = {
    "full range": {"tags": (1, 1, 1, 2)},
    "full range of 10 bits": {"tags": (9, 16, 9, 2), "pix_fmt": "yuv422p10le"},
    "bt.601": {"tags": (5, 6, 5, 1)},
    "rotated": {"rotation": 90},
    "upside down": {"rotation": 180},
    "non-square pixels": {"sample_aspect_ratio": Fraction(64, 45)},
    "start offset": {"start_pts": 8960, "audio_start_s": 0.25},
    "two languages": {"audio_s": (0.5, 1.0)},
    "29.97": {"time_base": Fraction(1, 30000), "durations": (1001,) * 12},
    "pq bt.2020": {"tags": (9, 16, 9, 1), "pix_fmt": "yuv420p10le"},
    "hlg bt.2020": {"tags": (9, 18, 9, 1), "pix_fmt": "yuv422p10le"},
    "one frame": {"durations": (512,)},
    "two frames": {"durations": (512, 90)},
    "top-left chroma": {
        "options": {**LOSSLESS_H264, "chroma_sample_location": "topleft"}, "tags": (9, 16, 9, 1),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_every_kind_of_clip(tmp_path: Path, name: str, suffix: str) -> None:
    case = {"options": LOSSLESS_H264, "durations": UNEVEN, "audio_s": (1.0,), **CASES[name]}
    source = make_clip(tmp_path / f"in{suffix}", **case)
    assert through(source, tmp_path / f"out{suffix}", "libx264", LOSSLESS_H264) == []
    assert_same(source, tmp_path / f"out{suffix}")


@pytest.mark.parametrize("codec", ["libx265", "libx264"])
def test_hdr10_with_its_mastering_display(tmp_path: Path, codec: str) -> None:
    if codec == "libx265":
        hdr = f"lossless=1:log-level=none:master-display={MASTERING}:max-cll=1000,400"
        making, options = {"preset": "ultrafast", "x265-params": hdr}, LOSSLESS_HEVC
    else:
        hdr = f"mastering-display={MASTERING}:cll=1000,400"
        making, options = {**LOSSLESS_H264, "x264-params": hdr}, LOSSLESS_H264
    source = make_clip(
        tmp_path / "in.mp4", codec=codec, pix_fmt="yuv420p10le", options=making, durations=UNEVEN,
        tags=(9, 16, 9, 1), audio_s=(0.5,),
    )  # fmt: skip
    assert None not in film(source).mastering
    assert through(source, tmp_path / "out.mp4", codec, options) == []
    assert_same(source, tmp_path / "out.mp4")
    assert film(tmp_path / "out.mp4").mastering == film(source).mastering
    lost = through(source, tmp_path / "out.mkv", "ffv1", None)
    assert [x.rpartition(": ")[2] for x in lost if "HDR" in x] == ["mastering display", "content light level"]
    assert film(tmp_path / "out.mkv").samples == film(source).samples


@pytest.mark.parametrize(
    "options", [{}, {"x264-params": "bframes=3:b-adapt=0"}], ids=["in order", "reordered"]
)
def test_60_then_15_frames_a_second_stay_375(tmp_path: Path, options: dict[str, str]) -> None:
    durations = (1500,) * 300 + (6000,) * 75
    source = make_clip(
        tmp_path / "in.mp4", time_base=Fraction(1, 90000), durations=durations, audio_s=(10.5,),
        options={**LOSSLESS_H264, **options},
    )  # fmt: skip
    through(source, tmp_path / "out.mp4", "libx264", {**LOSSLESS_H264, **options})
    seen = film(tmp_path / "out.mp4")
    starts = [Fraction(sum(durations[:n]), 90000) for n in range(375)]
    assert [start for start, _ in seen.times] == starts
    assert [duration * 90000 for _, duration in seen.times] == list(durations)
    assert_same(source, tmp_path / "out.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_that_outlasts_the_picture_stays_whole(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / "in.mp4", durations=(512,) * 10, audio_s=(4.0, 2.0), options=LOSSLESS_H264)
    through(source, tmp_path / f"out{suffix}", "libx264", LOSSLESS_H264)
    before, after = packets_of(source), packets_of(tmp_path / f"out{suffix}")
    for (_, old), (_, new) in zip(before, after, strict=True):
        assert [packet[2] for packet in new] == [packet[2] for packet in old]
    if suffix != ".mkv":
        for stream in (0, 1):
            assert decoded_sound(tmp_path / f"out{suffix}", stream) == decoded_sound(source, stream)


@pytest.mark.parametrize("codec", ["libx264", "prores", "dnxhr", "libsvtav1"])
def test_1080_lines_stay_1080(tmp_path: Path, codec: str) -> None:
    # Macroblocks make 1088 of them.
    pix_fmt = "yuv422p10le" if codec in {"prores", "dnxhr"} else "yuv420p"
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("libx264", rate=25, options=LOSSLESS_H264)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, pix_fmt
        picture = moving_picture(0, 1920, 1080, pix_fmt)
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        output.mux([*stream.encode(picture), *stream.encode(None)])
    suffix = ".mp4" if codec == "libsvtav1" else ".mov"
    fast = {"libx264": {"preset": "ultrafast"}, "libsvtav1": {"preset": "12"}}.get(codec)
    through(source, tmp_path / f"out{suffix}", codec, fast)
    assert film(tmp_path / f"out{suffix}").look["size"] == (1920, 1080)


def test_odd_sizes_stay_or_are_refused(tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mkv", codec="ffv1", width=321, height=181, options={}, durations=(40,) * 3,
        time_base=Fraction(1, 1000),
    )  # fmt: skip
    assert through(source, tmp_path / "out.mkv", "ffv1", None) == []
    assert_same(source, tmp_path / "out.mkv")
    for codec in ("libx264", "libx265"):
        with pytest.raises(UsageError, match="321x181"):
            through(source, tmp_path / "out.mp4", codec, None)


@pytest.mark.parametrize("name", ["no_face.mp4", "noface_face.mov", "single_face.mp4"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_real_clips(clips: Path, tmp_path: Path, name: str, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    through(clips / name, target, "libx264", LOSSLESS_H264)
    slack_s = Fraction(0) if suffix == ".mp4" else Fraction(1, 1000)
    old, new = film(clips / name), film(target)
    assert new.samples == old.samples
    assert new.look == old.look
    offset = new.times[0][0] - old.times[0][0]
    for (before, _), (after, _) in zip(old.times, new.times, strict=True):
        assert abs(after - before - offset) <= slack_s
    assert offset == 0 or suffix == ".mkv"
    for (_, before), (_, after) in zip(packets_of(clips / name), packets_of(target), strict=True):
        assert [packet[2] for packet in after] == [packet[2] for packet in before]


def warnings_of(events: Iterator[object]) -> tuple[list[str], int]:
    told, faces = [], -1
    for event in events:
        if isinstance(event, Warned):
            told.append(event.message)
        elif isinstance(event, Finished):
            faces = event.faces
    return told, faces


def test_a_conversion_with_no_face_is_identical(clips: Path, tmp_path: Path, swapper: Path) -> None:
    # Of the same kind it is copied; into another kind it is encoded anew, here without loss.
    told, faces = warnings_of(convert(clips / "no_face.mp4", swapper, tmp_path / "out.mp4"))
    assert faces == 0 and any("no face" in message for message in told)
    assert (tmp_path / "out.mp4").read_bytes() == (clips / "no_face.mp4").read_bytes()
    settings = ConversionSettings(encoder_options=LOSSLESS_H264)
    told, faces = warnings_of(
        convert(clips / "no_face.mp4", swapper, tmp_path / "out.mov", settings=settings)
    )
    assert faces == 0 and any("no face" in message for message in told)
    assert_same(clips / "no_face.mp4", tmp_path / "out.mov")


def test_a_conversion_with_no_face_of_ten_bits(tmp_path: Path, swapper: Path) -> None:
    source = make_clip(
        tmp_path / "in.mp4", pix_fmt="yuv422p10le", width=160, height=120, options=LOSSLESS_H264,
        durations=UNEVEN, tags=(9, 9, 9, 1), audio_s=(1.0,), rotation=-90,
    )  # fmt: skip
    settings = ConversionSettings(encoder_options=LOSSLESS_H264)
    _, faces = warnings_of(convert(source, swapper, tmp_path / "out.mov", settings=settings))
    assert faces == 0
    assert_same(source, tmp_path / "out.mov")
