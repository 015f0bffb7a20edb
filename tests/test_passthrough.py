"""Everything beside the picture: every packet with its payload and time, or a line that says what is lost."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from make_clips import make_clip, remux_with_metadata
from make_streams import (
    caption,
    cover_png,
    decoded_sound,
    make_captioned,
    make_pcm,
    make_rich_matroska,
    make_transport_stream,
    make_two_angles,
    packets_of,
)

from crossface.engine.errors import UsageError
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Span, Writer

QUICK = {"preset": "ultrafast", "crf": "30"}


def copy(source: Path, target: Path, **options: object) -> list[str]:
    """Every frame through Reader and Writer, unchanged; gives the losses, known before the first frame."""
    options.setdefault("options", dict(QUICK))
    with Reader(source, trusted=True) as reader, Writer(target, reader.info, **options) as writer:
        before = list(writer.losses)
        for frame in reader:
            writer.write(frame)
    assert writer.losses == before
    return before


def frame_times(path: Path) -> list[Fraction]:
    with Reader(path, trusted=True) as reader:
        return [frame.pts * frame.time_base for frame in reader]


def test_matroska_keeps_all_that_matroska_held(tmp_path: Path) -> None:
    source = make_rich_matroska(tmp_path / "in.mkv")
    target = tmp_path / "out.mkv"
    assert copy(source, target) == []
    assert packets_of(target) == packets_of(source)
    for stream in range(3):
        assert decoded_sound(target, stream) == decoded_sound(source, stream)
    with av.open(str(source)) as old, av.open(str(target)) as new:
        assert [s.type for s in new.streams] == [s.type for s in old.streams]
        for before, after in zip(old.streams, new.streams, strict=True):
            assert after.disposition == before.disposition
            assert after.metadata.get("title") == before.metadata.get("title")
            assert after.metadata.get("language") == before.metadata.get("language")
        assert [(a.name, a.mimetype, a.data) for a in new.streams.attachments] == [
            (a.name, a.mimetype, a.data) for a in old.streams.attachments
        ]
        assert (new.metadata["title"], new.metadata["TIMECODE"]) == ("A film", "01:00:00:00")
        assert [c["metadata"] for c in new.chapters()] == [{"title": "One"}]
        cover = new.streams.video[1]
        assert cover.disposition & Disposition.attached_pic
        assert [bytes(packet) for packet in new.demux(cover) if packet.size] == [cover_png()]


def test_mp4_takes_what_it_can_and_text_in_its_own_form(tmp_path: Path) -> None:
    source = make_rich_matroska(tmp_path / "in.mkv")
    target = tmp_path / "out.mp4"
    losses = copy(source, target)
    assert [loss.partition(": ")[2] for loss in losses] == [
        "subtitle stream 4: its text is converted from srt to mov_text",
        "subtitle stream 5: its text is converted from webvtt to mov_text",
        "attachment stream 6: does not fit into mp4",
    ]
    before, after = packets_of(source), packets_of(target)
    assert [kind for kind, _ in after] == ["audio"] * 3 + ["subtitle"] * 2
    for number in range(3):
        assert [packet[2] for packet in after[number][1]] == [packet[2] for packet in before[number][1]]
        assert [packet[0] for packet in after[number][1]] == [packet[0] for packet in before[number][1]]
    for number in (3, 4):
        text = [(start, duration, payload[2:]) for start, duration, payload in after[number][1]]
        assert text == before[number][1]
    with av.open(str(target)) as container:
        assert [s.metadata.get("timecode") for s in container.streams.data][-1] == "01:00:00:00"
        cover = next(s for s in container.streams.video if s.disposition & Disposition.attached_pic)
        assert [bytes(packet) for packet in container.demux(cover) if packet.size] == [cover_png()]


def test_webm_takes_opus_and_vorbis_only(tmp_path: Path) -> None:
    rich = make_rich_matroska(tmp_path / "rich.mkv")
    with pytest.raises(UsageError, match=r"aac.*\.mp4 or \.mov or \.mkv"):
        copy(rich, tmp_path / "no.webm", codec="libvpx-vp9", options=None)
    source = make_rich_matroska(tmp_path / "in.mkv", sound=("libopus",))
    fast = {"deadline": "realtime", "cpu-used": "8", "b": "0", "crf": "40"}
    losses = copy(source, tmp_path / "out.webm", codec="libvpx-vp9", options=fast)
    assert any("converted from srt to webvtt" in loss for loss in losses)
    assert decoded_sound(tmp_path / "out.webm") == decoded_sound(source)
    assert frame_times(tmp_path / "out.webm") == frame_times(source)


def test_text_of_mp4_becomes_text_of_matroska(tmp_path: Path) -> None:
    source = make_rich_matroska(tmp_path / "in.mkv", sound=("flac",))
    copy(source, tmp_path / "middle.mp4")
    losses = copy(tmp_path / "middle.mp4", tmp_path / "out.mkv")
    assert any("converted from mov_text to subrip" in loss for loss in losses)
    assert packets_of(tmp_path / "out.mkv", types=("subtitle",)) == packets_of(source, types=("subtitle",))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_cover_art_is_kept_or_named(tmp_path: Path, suffix: str) -> None:
    plain = make_clip(tmp_path / "plain.mp4", audio_s=(1.0,))
    source = remux_with_metadata(plain, tmp_path / "in.mp4")
    losses = copy(source, tmp_path / f"out{suffix}", comment="face replaced")
    with av.open(str(source)) as old, av.open(str(tmp_path / f"out{suffix}")) as new:
        covers = [
            [bytes(packet) for packet in container.demux(stream) if packet.size]
            for container in (old, new)
            for stream in container.streams.video
            if stream.disposition & Disposition.attached_pic
        ]
    named = any("cover art does not fit into mov" in loss for loss in losses)
    assert named == (suffix == ".mov")
    assert len(covers) == (1 if named else 2) and covers[0] == covers[-1]


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_a_transport_stream_with_places_of_a_camera(tmp_path: Path, suffix: str) -> None:
    source = make_transport_stream(tmp_path / "in.ts")
    losses = copy(source, tmp_path / f"out{suffix}")
    before, after = packets_of(source), packets_of(tmp_path / f"out{suffix}")
    assert any("data stream 2" in loss for loss in losses) == (suffix != ".mov")
    assert [kind for kind, _ in after] == (["audio", "data"] if suffix == ".mov" else ["audio"])
    for (_, old), (_, new) in zip(before, after, strict=False):
        assert [packet[2] for packet in new] == [packet[2] for packet in old]
        unit_s = Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, 90000)
        assert max(abs(a[0] - b[0]) for a, b in zip(old, new, strict=True)) <= unit_s
    if suffix != ".mkv":
        assert frame_times(tmp_path / f"out{suffix}") == frame_times(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_second_film_is_copied_packet_for_packet(tmp_path: Path, suffix: str) -> None:
    source = make_two_angles(tmp_path / "in.mp4")
    target = tmp_path / f"out{suffix}"
    losses = copy(source, target)
    second = [packets_of(path, types=("video",))[1][1] for path in (source, target)]
    assert [packet[2] for packet in second[1]] == [packet[2] for packet in second[0]]
    assert [packet[0] for packet in second[1]] == [packet[0] for packet in second[0]]
    assert bool(losses) == (suffix == ".mkv")
    with av.open(str(source)) as old, av.open(str(target)) as new:
        angles = [container.decode(container.streams.video[1]) for container in (old, new)]
        pictures = [[(frame.time, frame.to_ndarray().tobytes()) for frame in angle] for angle in angles]
        assert new.streams.video[1].metadata["language"] == "fra"
    assert pictures[0] == pictures[1] and len(pictures[0]) == 50


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_decoded_sound_is_the_same(tmp_path: Path, suffix: str) -> None:
    # Encoders of AAC put silence before the sound, which an edit list hides.
    source = make_clip(tmp_path / "in.mp4", audio_s=(1.5, 0.7), audio_start_s=0.0)
    copy(source, tmp_path / f"out{suffix}")
    for stream in (0, 1):
        assert decoded_sound(tmp_path / f"out{suffix}", stream) == decoded_sound(source, stream)


def test_sound_that_mp4_cannot_hold_is_refused_with_a_way_out(tmp_path: Path) -> None:
    raw = make_pcm(tmp_path / "raw.mov", "pcm_u8")
    with pytest.raises(UsageError, match=r"pcm_u8.*\.mov or \.mkv"):
        copy(raw, tmp_path / "no.mp4")
    assert copy(raw, tmp_path / "yes.mov") == []
    # AVI does not say which channels these are, which MP4 must.
    unnamed = make_pcm(tmp_path / "unnamed.avi", "pcm_s16le", layout="stereo")
    with pytest.raises(UsageError, match=r"pcm_s16le.*\.mov or \.mkv"):
        copy(unnamed, tmp_path / "no.mp4")
    assert not (tmp_path / "no.mp4").exists() and not list(tmp_path.glob(".*.part"))
    deep = make_pcm(tmp_path / "deep.mov", "pcm_s24le")
    assert copy(deep, tmp_path / "deep.mp4") == []
    assert decoded_sound(tmp_path / "deep.mp4") == decoded_sound(deep)


def test_sound_without_a_decoder_is_copied(tmp_path: Path) -> None:
    source = tmp_path / "in.mp4"
    with av.open(str(source), "w", container_options={"video_track_timescale": "12800"}) as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        voice = output.add_mux_stream("mpegh_3d_audio", rate=48000)
        voice.time_base = Fraction(1, 48000)
        output.start_encoding()
        for number in range(10):
            picture = av.VideoFrame(96, 64, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(video.encode(picture))
            packet = av.Packet(bytes([number] * 50))
            packet.stream, packet.time_base, packet.duration = voice, Fraction(1, 48000), 1920
            packet.pts = packet.dts = 1920 * number
            output.mux(packet)
        output.mux(video.encode(None))
    with av.open(str(source)) as container:
        assert container.streams.audio[0].codec_context is None
    for suffix in (".mp4", ".mov"):
        assert copy(source, tmp_path / f"out{suffix}") == []
        assert packets_of(tmp_path / f"out{suffix}") == packets_of(source)
    with pytest.raises(UsageError, match=r"\.mp4 or \.mov"):
        copy(source, tmp_path / "no.mkv")


@pytest.mark.parametrize(
    ("rate", "timecode"),
    [
        (Fraction(25), "10:59:59:24"),
        (Fraction(24000, 1001), "01:00:00:23"),
        (Fraction(30000, 1001), "01:00:00;02"),
        (Fraction(30000, 1001), "23:59:59:29"),
        (Fraction(60000, 1001), "01:01:00;04"),
        (Fraction(50), "00:00:00:49"),
    ],
)
def test_timecode_is_the_same_value(tmp_path: Path, rate: Fraction, timecode: str) -> None:
    source = make_clip(
        tmp_path / "in.mov", video_metadata={"timecode": timecode}, time_base=1 / rate / 100, rate=rate,
        durations=(100,) * 10,
    )  # fmt: skip
    for suffix in (".mov", ".mp4", ".mkv"):
        losses = copy(source, tmp_path / f"out{suffix}")
        assert [loss for loss in losses if "the timecode" in loss] == []
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            found = {
                value
                for metadata in (container.metadata, *(stream.metadata for stream in container.streams))
                for key, value in metadata.items()
                if key.lower() == "timecode"
            }
        assert found == {timecode}


def test_a_timecode_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    # Matroska holds any text; MOV counts frames and cannot at this rate.
    source = make_clip(
        tmp_path / "in.mkv", video_metadata={"timecode": "01:00:00;02"}, time_base=Fraction(1, 1000),
        durations=(80,) * 5, rate=Fraction(25, 2),
    )  # fmt: skip
    losses = copy(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as container:
        kept = any(stream.metadata.get("timecode") == "01:00:00;02" for stream in container.streams)
    assert kept != any("timecode 01:00:00;02 is lost" in loss for loss in losses)


def test_dispositions_and_languages_that_do_not_fit_are_named(tmp_path: Path) -> None:
    source = make_rich_matroska(tmp_path / "in.mkv", sound=("aac", "aac"))
    named = "does not hold its disposition comment"
    assert not any(named in loss for loss in copy(source, tmp_path / "out.mp4"))
    assert any(named in loss for loss in copy(source, tmp_path / "out.mov"))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[1].disposition & Disposition.comment


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_range_starts_at_0_with_all_its_companions(tmp_path: Path, suffix: str) -> None:
    source = make_clip(
        tmp_path / "in.mov", video_metadata={"timecode": "01:00:59;28"}, time_base=Fraction(1, 30000),
        durations=(1001,) * 60, audio_s=(2.1,), rate=Fraction(30000, 1001),
    )  # fmt: skip
    start_s, end_s = Fraction(1001 * 10, 30000), Fraction(1001 * 40, 30000)
    target = tmp_path / f"out{suffix}"
    losses = copy(source, target, span=Span(start_s, end_s))
    assert any("the part from" in loss for loss in losses)
    times = frame_times(target)
    assert len(times) == 30
    # The first packet of sound begins before the range; Matroska has no time before 0.
    shift_s = times[0]
    if suffix != ".mkv":
        assert shift_s == 0 and times == [Fraction(1001 * n, 30000) for n in range(30)]
    slack_s = Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, 48000)
    overlapping = [
        packet for packet in packets_of(source)[0][1] if packet[0] + packet[1] > start_s and packet[0] < end_s
    ]
    sound = packets_of(target)[0][1]
    assert [packet[2] for packet in sound] == [packet[2] for packet in overlapping]
    for old, new in zip(overlapping, sound, strict=True):
        assert abs(old[0] - start_s + shift_s - new[0]) <= 2 * slack_s
    with av.open(str(target)) as container:
        found = {
            value
            for metadata in (container.metadata, *(s.metadata for s in container.streams))
            for key, value in metadata.items()
            if key.lower() == "timecode"
        }
    # Drop-frame: after 01:00:59;29 comes 01:01:00;02.
    assert found == {"01:01:00;10"}


def test_text_and_chapters_are_cut_to_the_range(tmp_path: Path) -> None:
    source = make_rich_matroska(tmp_path / "in.mkv", sound=("libopus",))
    target = tmp_path / "out.mkv"
    copy(source, target, span=Span(Fraction(3, 5), Fraction(6, 5)))
    with av.open(str(target)) as container:
        chapters = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()]
    assert chapters == [(0, Fraction(3, 10))]
    texts = packets_of(target, types=("subtitle",))
    for number, (_, lines) in enumerate(texts):
        assert lines == [
            (Fraction(0), Fraction(3, 10), f"line of text {number}: 1".encode()),
            (Fraction(2, 5), Fraction(1, 5), f"line of text {number}: 2".encode()),
        ]
    times = frame_times(target)
    assert times == [Fraction(n, 25) for n in range(15)]


def test_the_last_frame_ends_with_the_range(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", durations=(512, 2048, 512))
    copy(source, tmp_path / "out.mp4", span=Span(Fraction(256, 12800), Fraction(1512, 12800)))
    with Reader(tmp_path / "out.mp4", trusted=True) as reader:
        times = [(frame.pts, frame.duration) for frame in reader]
    # The first frame is on the screen when the range begins.
    assert times == [(0, 256), (256, 1000)]


def test_a_source_that_is_no_file_has_no_companions(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", audio_s=(1.0,), start_pts=51200)
    with Reader(source, trusted=True) as reader:
        info = replace(reader.info, stream_index=-1, path=Path("pictures.####.png"))
        start = Span(Fraction(51200, 12800))
        with Writer(tmp_path / "out.mp4", info, options=dict(QUICK), span=start) as writer:
            for frame in reader:
                writer.write(replace(frame, source=None))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert frame_times(tmp_path / "out.mp4") == [Fraction(n, 25) for n in range(25)]


@pytest.mark.parametrize(
    "name", ["dub", "original", "comment", "forced", "hearing_impaired", "visual_impaired"]
)
def test_each_disposition_is_kept_or_named(tmp_path: Path, name: str) -> None:
    flag = Disposition[name]
    plain = make_rich_matroska(tmp_path / "plain.mkv", sound=("aac", "aac"))
    source = tmp_path / "in.mkv"
    with av.open(str(plain)) as old, av.open(str(source), "w") as new:
        streams = [old.streams.video[0], *old.streams.audio]
        copies = {stream.index: new.add_stream_from_template(stream, opaque=True) for stream in streams}
        copies[2].disposition = flag
        for packet in old.demux(*streams):
            if packet.size:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    with av.open(str(source)) as container:
        assert container.streams.audio[1].disposition == flag
    for suffix in (".mp4", ".mov", ".mkv"):
        losses = copy(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            kept = bool(container.streams.audio[1].disposition & flag)
        assert kept != any(f"disposition {name}" in loss for loss in losses)
        assert kept or suffix != ".mkv"


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt"),
    [
        ("libx264", ".mp4", None),
        ("libx264", ".mkv", "yuv422p10le"),
        ("libx265", ".mp4", None),
        ("mpeg2video", ".mov", None),
        ("libsvtav1", ".mp4", None),
        ("ffv1", ".mkv", None),
    ],
)
def test_captions_inside_pictures_are_kept_or_named(
    tmp_path: Path, codec: str, suffix: str, pix_fmt: str | None
) -> None:
    source = make_captioned(tmp_path / "in.ts")
    target = tmp_path / f"out{suffix}"
    options = {"preset": "12"} if codec == "libsvtav1" else None
    with (
        Reader(source, trusted=True) as reader,
        Writer(target, reader.info, codec=codec, options=options, pix_fmt=pix_fmt) as writer,
    ):
        for frame in reader:
            writer.write(frame)
    with av.open(str(target)) as container:
        found = [picture.side_data.get(SideDataType.A53_CC) for picture in container.decode(video=0)]
    kept = [bytes(data) for data in found if data is not None] == [caption(number) for number in range(6)]
    assert kept != any("captions inside" in loss for loss in writer.losses)
    assert kept == (codec in {"libx264", "libx265", "mpeg2video"})
