"""Files that are odd in ways of their own: nothing is lost in silence, and nothing said that is not so."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from make_bad_input import patched
from make_clips import make_clip, remux_with_metadata
from make_streams import make_rich_matroska, packets_of

from crossface.engine.clip import packet_hash
from crossface.engine.errors import BadInputError, UsageError
from crossface.engine.video.index import scan
from crossface.engine.video.reader import Reader
from crossface.engine.video.writer import Span, Writer

LOSSLESS = {"preset": "ultrafast", "qp": "0"}
TICK = Fraction(1, 25)
TS_PACKET = 188


def copied(source: Path, target: Path, *, span: Span | None = None, **options: object) -> list[str]:
    with Reader(source, tolerate_damage=True) as reader, Writer(
        target, reader.info, span=span, **options
    ) as writer:  # fmt: skip
        for frame in reader:
            writer.write(frame)
    return writer.losses


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def transport_stream(path: Path) -> Path:
    return make_clip(path, durations=(1,) * 60, time_base=TICK, audio_s=(2.4,))


def picture_elsewhere(folder: Path) -> Path:
    """Its second half sends the picture under another PID, and nothing announces that."""
    data = bytearray(transport_stream(folder / "whole.ts").read_bytes())
    for start in range(len(data) // TS_PACKET // 2 * TS_PACKET, len(data), TS_PACKET):
        if int.from_bytes(data[start + 1 : start + 3], "big") & 0x1FFF == 0x100:
            data[start + 1] = data[start + 1] & 0xE0 | 0x03
    path = folder / "elsewhere.ts"
    path.write_bytes(data)
    return path


def test_a_stream_that_begins_in_the_middle(tmp_path: Path) -> None:
    path = picture_elsewhere(tmp_path)
    with pytest.raises(BadInputError), Reader(path) as reader:
        list(reader)
    with Reader(path, tolerate_damage=True) as reader:
        assert 0 < len(list(reader)) < 60
    assert any("its picture ends at" in warning for warning in reader.warnings)
    assert scan(path).count < 60
    assert packet_hash(path) == packet_hash(path)
    copied(path, tmp_path / "out.mp4", options=LOSSLESS)


def test_a_clock_that_wraps_around_keeps_every_frame(tmp_path: Path) -> None:
    whole, path = transport_stream(tmp_path / "whole.ts"), tmp_path / "wrap.ts"
    muxer = {"output_ts_offset": str(2**33 / 90000 - 2.4)}
    with av.open(str(whole)) as old, av.open(str(path), "w", container_options=muxer) as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    before = times(path)
    assert before[0] < 0 and len(before) == 60
    sound = len(packets_of(path)[0][1])
    for suffix, slack_s in ((".mp4", 0), (".mkv", Fraction(1, 1000))):
        target = tmp_path / f"out{suffix}"
        losses = copied(path, target, options=LOSSLESS)
        after = times(target)
        assert len(after) == 60 and any("there time is 0" in loss for loss in losses)
        assert all(
            abs((b - after[0]) - (a - before[0])) <= slack_s for a, b in zip(before, after, strict=True)
        )
        assert len(packets_of(target)[0][1]) == sound


def test_what_is_said_of_a_later_start_is_so(tmp_path: Path) -> None:
    """FLAC has packets of 96 ms and no delay; AAC and Opus have one, which Matroska writes."""
    source = make_rich_matroska(tmp_path / "in.mkv")
    for span in (None, Span(10 * TICK, None)):
        target = tmp_path / "out.mkv"
        losses = copied(source, target, span=span, options=LOSSLESS, overwrite=True)
        said = [float(loss.split(" s later")[0].split()[-1]) for loss in losses if "s later" in loss]
        assert float(times(target)[0]) == pytest.approx(max(said, default=0), abs=0.0011)


def test_cover_art_of_a_file_whose_metadata_are_not_utf8(tmp_path: Path) -> None:
    path = remux_with_metadata(make_clip(tmp_path / "in.mp4"), tmp_path / "cover.mp4")
    patched(path, path, path.read_bytes().index(b"A film"), b"\xe4")
    copied(path, tmp_path / "out.mkv", options=LOSSLESS)
    with av.open(str(tmp_path / "out.mkv"), metadata_errors="surrogateescape") as container:
        assert container.streams[-1].disposition & av.stream.Disposition.attached_pic


@pytest.mark.parametrize(
    ("pix_fmt", "options", "profile"),
    [
        ("yuv420p", {"profile": "baseline"}, "Constrained Baseline"),
        ("yuv420p", {"profile": "main"}, "Main"),
        ("yuv420p10le", {"g": "1"}, "High 10 Intra"),
    ],
)
def test_the_profile_of_the_source(
    tmp_path: Path, pix_fmt: str, options: dict[str, str], profile: str
) -> None:
    source = make_clip(tmp_path / "in.mp4", pix_fmt=pix_fmt, options={"preset": "fast", **options})
    assert copied(source, tmp_path / "out.mp4", codec="source") == []
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.profile == profile
    # Lossless is beyond these profiles.
    losses = copied(source, tmp_path / "exact.mp4", codec="source", options={"qp": "0"})
    assert any(f"the profile {profile} is not kept" in loss for loss in losses)


def test_alpha_that_the_decoder_does_not_give_is_named(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.webm", codec="libvpx-vp9", pix_fmt="yuva420p", durations=(40,) * 3,
                       options={"auto-alt-ref": "0"}, time_base=Fraction(1, 1000))  # fmt: skip
    losses = copied(source, tmp_path / "out.mkv", codec="ffv1")
    assert any("alpha is lost" in loss for loss in losses)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert "alpha_mode" not in {key.lower() for key in container.streams.video[0].metadata}


def test_frames_that_the_container_hides_are_counted(tmp_path: Path) -> None:
    """A time scale of 0 makes the edit list end after the first frame."""
    whole = make_clip(tmp_path / "whole.mp4", durations=(512,) * 60)
    path = patched(whole, tmp_path / "in.mp4", whole.read_bytes().index(b"mdhd") + 16, bytes(4))
    with Reader(path) as reader:
        shown = len(list(reader))
    assert any(f"hides {60 - shown} of its frames" in warning for warning in reader.warnings)


def test_kinds_that_are_not_read_are_refused_with_advice(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.gif", codec="gif", pix_fmt="rgb8", options={}, durations=(4,) * 3,
                     time_base=Fraction(1, 100))  # fmt: skip
    with pytest.raises(BadInputError, match="convert it to"):
        Reader(path)


def test_a_reader_that_is_closed_in_the_middle_says_so(tmp_path: Path) -> None:
    reader = Reader(make_clip(tmp_path / "in.mp4"))
    frames = iter(reader)
    next(frames)
    reader.close()
    with pytest.raises(UsageError, match="closed"):
        list(frames)
