"""Generated files full of everything that is not a picture: sound, text, data, attachments, chapters."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from make_clips import moving_picture

MILLISECOND = Fraction(1, 1000)
TS_UNIT = Fraction(1, 90000)
KLV = b"\x06\x0e\x2b\x34"


def cover_png() -> bytes:
    """A picture for the sleeve."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 32, 32, "rgb24"
    encoder.time_base = Fraction(1, 25)
    return bytes(encoder.encode(moving_picture(0, 32, 32, "rgb24"))[0])


def _video(output: OutputContainer, time_base: Fraction, **options: str) -> av.video.stream.VideoStream:
    stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast", **options})
    stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
    stream.time_base = stream.codec_context.time_base = time_base
    return stream


def _picture(number: int, time_base: Fraction) -> av.VideoFrame:
    picture = moving_picture(number, 96, 64)
    step = int(Fraction(1, 25) / time_base)
    picture.pts, picture.duration, picture.time_base = number * step, step, time_base
    return picture


def _write_tone(output: OutputContainer, stream: av.audio.stream.AudioStream, length_s: float) -> None:
    encoder = stream.codec_context
    size = encoder.frame_size or 1024
    planar = encoder.format.is_planar
    integer = {"s16": np.int16, "s32": np.int32}.get(encoder.format.packed.name)
    for start in range(0, int(length_s * 48000), size):
        phase = np.arange(start, start + size) * (330 * 2 * np.pi / 48000)
        wave = np.stack([np.sin(phase), np.cos(phase)]).astype(np.float32) / 4
        samples = wave if planar else wave.T.reshape(1, -1)
        if integer is not None:
            samples = (samples * np.iinfo(integer).max).astype(integer)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), encoder.format.name, "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


def _write_lines(output: OutputContainer, stream: av.stream.Stream, words: str) -> None:
    for number in range(3):
        line = av.Packet(f"{words} {number}".encode())
        line.stream, line.time_base = stream, MILLISECOND
        line.pts = line.dts = 500 * number
        line.duration = 400
        output.mux(line)


def make_rich_matroska(path: Path, *, sound: tuple[str, ...] = ("aac", "flac", "libopus")) -> Path:
    """Two seconds with sound in several codecs, two subtitles, a font, a cover, a chapter and a timecode."""
    with av.open(str(path), "w") as output:
        video = _video(output, MILLISECOND)
        voices = [output.add_stream(codec, rate=48000) for codec in sound]
        for voice, language in zip(voices, ("eng", "fra", "deu"), strict=False):
            voice.metadata.update({"language": language, "title": f"Sound {language}"})
        if len(voices) > 1:
            voices[1].disposition = Disposition.default | Disposition.comment
        texts = [output.add_mux_stream("subrip"), output.add_mux_stream("webvtt")]
        for text in texts:
            text.time_base = MILLISECOND
            text.metadata["language"] = "eng"
        texts[0].disposition = Disposition.forced
        output.add_attachment("font.ttf", "font/ttf", b"\0\1\0\0 not really a font")
        output.add_attachment("cover.png", "image/png", cover_png())
        output.metadata.update({"title": "A film", "timecode": "01:00:00:00"})
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 900, "time_base": MILLISECOND, "metadata": {"title": "One"}}]
        )
        output.start_encoding()
        for number in range(50):
            output.mux(video.encode(_picture(number, MILLISECOND)))
        output.mux(video.encode(None))
        for voice in voices:
            _write_tone(output, voice, 2.0)
        for number, text in enumerate(texts):
            _write_lines(output, text, f"line of text {number}:")
    return path


def make_transport_stream(path: Path) -> Path:
    """An MPEG-TS clip of a camera in the air: its place travels beside the picture as KLV packets."""
    with av.open(str(path), "w", format="mpegts") as output:
        video = _video(output, TS_UNIT)
        voice = output.add_stream("mp2", rate=48000)
        data = output.add_data_stream("klv")
        data.time_base = TS_UNIT
        output.start_encoding()
        for number in range(25):
            output.mux(video.encode(_picture(number, TS_UNIT)))
            place = av.Packet(KLV + bytes([number]) * 20)
            place.stream, place.time_base, place.pts = data, TS_UNIT, number * 3600
            place.dts = place.pts
            output.mux(place)
        output.mux(video.encode(None))
        _write_tone(output, voice, 1.0)
    return path


def make_captioned(path: Path, *, first: int = 0) -> Path:
    """An MPEG-TS clip of six pictures; from ``first`` on each has three bytes of captions (A/53, part 4)."""
    with av.open(str(path), "w", format="mpegts") as output:
        stream = _video(output, Fraction(1, 25), tune="zerolatency")
        for number in range(6):
            for packet in stream.encode(_picture(number, Fraction(1, 25))):
                captions = b"\xb5\x00\x31GA94\x03\x41\xff" + caption(number) + b"\xff"
                message = b"\0\0\0\1\x06\x04" + bytes([len(captions)]) + captions + b"\x80"
                if number < first:
                    message = b""
                data = bytes(packet)
                # Before the first slice: a NAL unit of type 1 or 5.
                place = min(at for at in map(data.find, (b"\0\0\1\x65", b"\0\0\1\x41")) if at >= 0)
                longer = av.Packet(data[:place] + message + data[place:])
                longer.stream, longer.time_base = stream, packet.time_base
                longer.pts, longer.dts, longer.duration = packet.pts, packet.dts, packet.duration
                longer.is_keyframe = packet.is_keyframe
                output.mux(longer)
        output.mux(stream.encode(None))
    return path


def caption(number: int) -> bytes:
    """Of one picture of `make_captioned`: a pair of characters of the first field."""
    return bytes([0xFC, 0x80 | number, 0x20 + number])


def make_two_angles(path: Path, *, second_rate: int = 50) -> Path:
    """Two films in one file, of different rates and units, the second one with B-frames."""
    unit = Fraction(1, second_rate * 600)
    muxer = {"movie_timescale": "90000"}
    with av.open(str(path), "w", container_options=muxer) as output:
        first = _video(output, Fraction(1, 12800))
        second = _video(output, unit, **{"x264-params": "bframes=2:b-adapt=0:keyint=10"})
        second.metadata["language"] = "fra"
        output.start_encoding()
        for number in range(25):
            output.mux(first.encode(_picture(number, Fraction(1, 12800))))
        output.mux(first.encode(None))
        for number in range(second_rate):
            picture = moving_picture(number + 100, 96, 64)
            picture.pts, picture.duration, picture.time_base = number * 600, 600, unit
            output.mux(second.encode(picture))
        output.mux(second.encode(None))
    return path


def make_pcm(path: Path, codec: str, *, layout: str = "mono") -> Path:
    """A clip with sound that is not compressed."""
    container_options = {"video_track_timescale": "12800"} if path.suffix == ".mov" else {}
    with av.open(str(path), "w", container_options=container_options) as output:
        video = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        voice = output.add_stream(codec, rate=48000)
        voice.layout = layout
        for number in range(5):
            picture = av.VideoFrame(96, 64, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        name = voice.codec_context.format.name
        kind, shift = {"u8": (np.uint8, 0), "s16": (np.int16, 4), "s32": (np.int32, 16)}[name]
        size = 9600 * voice.codec_context.channels
        samples = np.random.default_rng(1).integers(0, 200, (1, size)).astype(kind)
        frame = av.AudioFrame.from_ndarray(samples << shift, name, layout)
        frame.sample_rate, frame.pts = 48000, 0
        output.mux([*voice.encode(frame), *voice.encode(None)])
    return path


def packets_of(
    path: Path, *, types: tuple[str, ...] = ("audio", "subtitle", "data")
) -> list[tuple[str, list]]:
    """Type of each stream, and pts, duration (seconds) and payload of its packets but empty text."""
    with av.open(str(path)) as container:
        found = {
            stream.index: (stream.type, [])
            for stream in container.streams
            if stream.type in types and "timecode" not in stream.metadata and stream.discard == 0
        }
        for packet in container.demux():
            if packet.size and packet.stream.index in found and bytes(packet) != b"\0\0":
                pts = None if packet.pts is None else packet.pts * packet.time_base
                payload = bytes(packet)
                found[packet.stream.index][1].append((pts, packet.duration * packet.time_base, payload))
    return list(found.values())


def decoded_sound(path: Path, stream: int = 0) -> bytes:
    """All samples of one audio stream, as its decoder gives them."""
    with av.open(str(path)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=stream))
