"""Files that are odd or damaged, one maker a kind; each writes into a folder and gives the path."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from make_clips import flip_bits, make_clip, moving_picture, top_level_box

TICK = 512
FASTSTART = {"movflags": "+faststart", "video_track_timescale": "12800"}
FRAGMENTED = {"movflags": "+frag_keyframe+empty_moov", "video_track_timescale": "12800"}
# Every fourth picture is one that others lean on, and groups are open.
OPEN_GOP = {"preset": "fast", "x264-params": "keyint=12:open-gop=1:bframes=3:b-adapt=0:scenecut=0"}
PLAIN = {"preset": "ultrafast", "x264-params": "keyint=12:bframes=0"}

Change = Callable[[list[Packet]], Iterable[Packet]]


def remuxed(source: Path, target: Path, change: Change = iter, *, bitstream: str = "null") -> Path:
    """A copy of a file whose video packets went through one of libav's bitstream filters and ``change``.

    Packets that the muxer refuses are left out.
    """
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream, opaque=True)
        through = BitStreamFilterContext(bitstream, stream, copy)
        packets = [packet for packet in old.demux(stream) if packet.size]
        filtered = [after for before in [*packets, None] for after in through.filter(before)]
        for packet in change(filtered):
            packet.stream = copy
            with contextlib.suppress(av.error.FFmpegError):
                new.mux(packet)
    return target


def with_payload(packet: Packet, payload: bytes) -> Packet:
    """A packet of the same times that holds something else."""
    other = Packet(payload)
    other.pts, other.dts, other.duration = packet.pts, packet.dts, packet.duration
    other.time_base, other.is_keyframe = packet.time_base, packet.is_keyframe
    return other


def cut(source: Path, target: Path, share: float) -> Path:
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def patched(source: Path, target: Path, offset: int, patch: bytes) -> Path:
    data = bytearray(source.read_bytes())
    data[offset : offset + len(patch)] = patch
    target.write_bytes(data)
    return target


def empty(folder: Path) -> Path:
    path = folder / "empty.mp4"
    path.touch()
    return path


def text(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("This is not a film.\n" * 50)
    return path


def no_index(folder: Path) -> Path:
    data = make_clip(folder / "whole.mp4").read_bytes()
    path = folder / "no_index.mp4"
    path.write_bytes(data[: top_level_box(data, b"moov")[0]])
    return path


def half(folder: Path) -> Path:
    whole = make_clip(folder / "whole.mp4", durations=(TICK,) * 100, muxer=FASTSTART)
    return cut(whole, folder / "half.mp4", 0.5)


def lost_tail_of_sound(folder: Path) -> Path:
    """The last kilobyte of an MP4 with its index in front is sound."""
    muxer = {"movflags": "+faststart", "video_track_timescale": "12800", "movie_timescale": "614400"}
    whole = make_clip(folder / "whole.mp4", audio_s=(3.0,), muxer=muxer)
    path = folder / "tail.mp4"
    path.write_bytes(whole.read_bytes()[:-1000])
    return path


def flipped_bytes(folder: Path, codec: str = "libx264") -> Path:
    options = {"preset": "ultrafast", "x265-params": "log-level=none"} if codec == "libx265" else None
    whole = make_clip(
        folder / "whole.mp4", codec=codec, options=options, width=320, height=180, durations=(TICK,) * 100
    )
    return flip_bits(whole, folder / "flipped.mp4", count=60, seed=3)


def damaged_sizes(folder: Path) -> Path:
    whole = make_clip(folder / "whole.mp4", durations=(TICK,) * 100)
    at = whole.read_bytes().index(b"stsz")
    return patched(whole, folder / "sizes.mp4", at + 16, b"\xff" * 400)


def wrong_header_size(folder: Path) -> Path:
    """The sample entry says 65535 x 65535; the bitstream knows better."""
    whole = make_clip(folder / "whole.mp4", width=320, height=180)
    at = whole.read_bytes().index(b"avc1", whole.read_bytes().index(b"stsd"))
    return patched(whole, folder / "header.mp4", at + 28, b"\xff" * 4)


def noise(folder: Path) -> Path:
    whole = make_clip(folder / "whole.mp4", durations=(TICK,) * 100)
    spoil = "noise=amount='if(gt(n,2)*not(mod(n,7)),200,0)'"
    return remuxed(whole, folder / "noise.mp4", bitstream=spoil)


def dropped_packets(folder: Path) -> Path:
    def drop(packets: list[Packet]) -> Iterator[Packet]:
        return (packet for number, packet in enumerate(packets) if packet.is_keyframe or number % 7 != 3)

    whole = make_clip(folder / "whole.mkv", options=PLAIN, **mkv_times(100))
    return remuxed(whole, folder / "dropped.mkv", drop)


def mkv_times(frames: int) -> dict[str, object]:
    return {"durations": (40,) * frames, "time_base": Fraction(1, 1000)}


def sound_alone(folder: Path, *, cover: bool = False) -> Path:
    path = folder / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as output:
        voice = output.add_stream("aac", rate=48000, layout="mono")
        picture = output.add_stream("mjpeg", rate=1) if cover else None
        if picture is not None:
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            drawn = moving_picture(0, 32, 32, "yuvj420p")
            drawn.pts = 0
            packets = [*picture.encode(drawn), *picture.encode(None)]
            output.mux(packets)
        for number in range(10):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            tone.sample_rate, tone.pts = 48000, number * 1024
            output.mux(voice.encode(tone))
        output.mux(voice.encode(None))
    return path


def edit_list(folder: Path) -> Path:
    """Its edit list, rewritten, starts eight frames in: eight packets are read and never shown."""
    whole = make_clip(folder / "whole.mp4", options=PLAIN, durations=(TICK,) * 75)
    at = whole.read_bytes().index(b"elst")
    return patched(whole, folder / "edited.mp4", at + 16, struct.pack(">I", 8 * TICK))


def one_keyframe(folder: Path) -> Path:
    options = {"preset": "fast", "x264-params": "intra-refresh=1:keyint=25:bframes=0:scenecut=0"}
    return make_clip(folder / "refresh.mp4", options=options, durations=(TICK,) * 50)


def transport_stream(folder: Path, frames: int = 100) -> Path:
    return make_clip(
        folder / "whole.ts", options=OPEN_GOP, durations=(1,) * frames, time_base=Fraction(1, 25)
    )


def stream_from_the_middle(folder: Path) -> Path:
    """A recording that was switched on between two keyframes."""
    data = transport_stream(folder).read_bytes()
    packet_bytes = 188
    path = folder / "middle.ts"
    path.write_bytes(data[len(data) // 4 // packet_bytes * packet_bytes :])
    return path


def cut_matroska(folder: Path) -> Path:
    whole = make_clip(folder / "whole.mkv", **mkv_times(100))
    return cut(whole, folder / "cut.mkv", 0.7)


def size_change_in_band(folder: Path) -> Path:
    """An MPEG-TS clip of five frames of 96x64 and then five of 128x64."""
    path = folder / "both.ts"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
        stream.width, stream.height = 96, 64
        for packet in _of_two_sizes(stream.codec_context):
            packet.stream = stream
            output.mux(packet)
    return path


def size_change_by_entry(folder: Path) -> Path:
    """An MP4 clip with two sample entries: five frames of 96x64, five of 128x64."""
    narrow, wide = (
        make_clip(folder / f"{width}.mp4", width=width, options=PLAIN, durations=(TICK,) * 5)
        for width in (96, 128)
    )
    path = folder / "entries.mp4"
    with av.open(str(narrow)) as first, av.open(str(wide)) as second, av.open(str(path), "w") as output:
        copy = output.add_stream_from_template(first.streams.video[0])
        for container, offset in ((first, 0), (second, 5 * TICK)):
            for packet in container.demux(video=0):
                if packet.size:
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, copy
                    output.mux(packet)
    data = path.read_bytes()
    start, end = top_level_box(data, b"moov")
    sizes = struct.unpack(">10I", box_body(data[start:end], b"stsz")[12:52])
    first_chunk = struct.unpack(">I", box_body(data[start:end], b"stco")[8:12])[0]
    entry = box_body(wide.read_bytes(), b"stsd")[8:]
    stsd = bytearray(box_body(data[start:end], b"stsd") + entry)
    stsd[7] = 2
    moov = with_box(data[start:end], b"stsd", bytes(stsd))
    moov = with_box(moov, b"stsc", struct.pack(">8I", 0, 2, 1, 5, 1, 2, 5, 2))
    moov = with_box(moov, b"stco", struct.pack(">4I", 0, 2, first_chunk, first_chunk + sum(sizes[:5])))
    path.write_bytes(data[:start] + moov + data[end:])
    return path


def _of_two_sizes(narrow: VideoCodecContext) -> Iterator[Packet]:
    wide = VideoCodecContext.create("libx264", "w")
    wide.width, wide.height, wide.pix_fmt = 128, 64, "yuv420p"
    wide.framerate, wide.options = Fraction(25), {"tune": "zerolatency"}
    for encoder, start in ((narrow, 0), (wide, 5)):
        encoder.time_base = Fraction(1, 25)
        for number in range(start, start + 5):
            picture = moving_picture(number, encoder.width, encoder.height)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            yield from encoder.encode(picture)
        yield from encoder.encode(None)


_CONTAINER_BOXES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def box_body(data: bytes, kind: bytes) -> bytes:
    """The body of the first box of this kind, wherever it is."""
    at = data.index(kind)
    return data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]


def with_box(moov: bytes, kind: bytes, body: bytes) -> bytes:
    """A ``moov`` box in which the first box of this kind has another body."""
    at = moov.index(kind)
    end = at - 4 + int.from_bytes(moov[at - 4 : at], "big")
    grown = len(body) + 8 - (end - at + 4)
    changed = bytearray(moov[: at - 4] + struct.pack(">I", len(body) + 8) + kind + body + moov[end:])
    for outer in _CONTAINER_BOXES:
        where = changed.index(outer) - 4
        length = int.from_bytes(changed[where : where + 4], "big") + grown
        changed[where : where + 4] = struct.pack(">I", length)
    return bytes(changed)


def late_start(folder: Path) -> Path:
    return make_clip(folder / "late.mp4", start_pts=8960, audio_s=(1.5,))


def negative_times(folder: Path) -> Path:
    """Matroska cannot hold a time before zero; libav reads none of its times."""
    return make_clip(
        folder / "negative.mkv", start_pts=-1000, muxer={"avoid_negative_ts": "disabled"}, options=PLAIN,
        **mkv_times(25),
    )  # fmt: skip


def raw_stream(folder: Path, codec: str = "libx264") -> Path:
    options = {"preset": "ultrafast", "x265-params": "log-level=none"} if codec == "libx265" else None
    whole = make_clip(folder / "whole.mp4", codec=codec, options=options)
    return remuxed(whole, folder / ("raw.hevc" if codec == "libx265" else "raw.h264"))


def cut_fragments(folder: Path) -> Path:
    whole = make_clip(folder / "whole.mp4", durations=(TICK,) * 100, muxer=FRAGMENTED)
    return cut(whole, folder / "fragments.mp4", 0.7)


def giant_box(folder: Path) -> Path:
    """An index that says it were 4 GB."""
    data = bytearray(make_clip(folder / "whole.mp4").read_bytes())
    start, _ = top_level_box(bytes(data), b"moov")
    data[start : start + 4] = b"\xff\xff\xff\xff"
    path = folder / "giant.mp4"
    path.write_bytes(data)
    return path


def giant_first_box(folder: Path) -> Path:
    """A box before everything else that says it were 4 GB."""
    path = folder / "first.mp4"
    whole = make_clip(folder / "whole.mp4").read_bytes()
    path.write_bytes(b"\xff\xff\xff\xfffree" + whole)
    return path


def equal_times(folder: Path) -> Path:
    def doubled(packets: list[Packet]) -> Iterator[Packet]:
        for number, packet in enumerate(packets):
            if number in (5, 6, 20):
                packet.pts = packet.dts = packets[number - 1].pts
            yield packet

    whole = make_clip(folder / "whole.mkv", options=PLAIN, **mkv_times(25))
    return remuxed(whole, folder / "equal.mkv", doubled)


def giant_picture(folder: Path, width: int = 16384, height: int = 65535, suffix: str = ".mov") -> Path:
    """A PNG whose header says more pixels than there is memory for, as the only picture of a film."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    small = make_clip(folder / "small.mov", codec="png", pix_fmt="rgb24", options={}, durations=(TICK,) * 3)

    def grown(packets: list[Packet]) -> Iterator[Packet]:
        return (with_payload(packet, png) for packet in packets)

    return remuxed(small, folder / f"giant{suffix}", grown)


def encrypted(folder: Path) -> Path:
    """Common Encryption (ISO/IEC 23001-7) without its key."""
    muxer = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "00112233445566778899aabbccddeeff",
        "encryption_kid": "ffeeddccbbaa99887766554433221100",
        "video_track_timescale": "12800",
    }
    return make_clip(folder / "encrypted.mp4", muxer=muxer)


def two_films(folder: Path) -> Path:
    """Two videos and two sounds."""
    large = make_clip(folder / "large.mp4", audio_s=(1.0, 1.0))
    small = make_clip(folder / "small.mp4", width=64, height=48)
    path = folder / "two.mkv"
    with av.open(str(large)) as first, av.open(str(small)) as second, av.open(str(path), "w") as output:
        sources: Sequence[tuple[av.container.InputContainer, dict[int, av.stream.Stream]]] = [
            (each, {s.index: output.add_stream_from_template(s, opaque=True) for s in each.streams})
            for each in (first, second)
        ]
        for container, copies in sources:
            for packet in container.demux():
                if packet.size:
                    packet.stream = copies[packet.stream.index]
                    output.mux(packet)
    return path


def with_foreign_sound(folder: Path) -> Path:
    """Sound of a kind that MP4 has no name for."""
    path = folder / "foreign.mkv"
    silent = make_clip(folder / "silent.mkv", **mkv_times(25))
    with av.open(str(silent)) as old, av.open(str(path), "w") as output:
        stream = old.streams.video[0]
        copy = output.add_stream_from_template(stream, opaque=True)
        voice = output.add_stream("wavpack", rate=44100, layout="mono")
        for packet in old.demux(stream):
            if packet.size:
                packet.stream = copy
                output.mux(packet)
        for number in range(10):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.float32), "fltp", "mono")
            tone.sample_rate, tone.pts = 44100, 2048 * number
            output.mux(voice.encode(tone))
        output.mux(voice.encode(None))
    return path


def sequence(folder: Path, *, missing: int | None = None, cut: int | None = None) -> str:
    """Five EXR pictures 1001 to 1005, one of them missing or half there."""
    import OpenImageIO

    samples = np.random.default_rng(1).random((64, 96, 3), np.float32)
    for number in range(1001, 1006):
        path = folder / f"shot.{number}.exr"
        output = OpenImageIO.ImageOutput.create(str(path))
        output.open(str(path), OpenImageIO.ImageSpec(96, 64, 3, "half"))
        output.write_image(samples)
        output.close()
        if number == cut:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        if number == missing:
            path.unlink()
    return str(folder / "shot.####.exr")
