"""Small generated clips, whole and damaged, made with PyAV alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext

# Varying on purpose: no two neighbours alike, one long hold, a short last frame.
VFR_DURATIONS = [512, 700, 512, 90, 2048, 333, 512, 512, 1000, 256, 512, 801, 512, 512, 77]


def moving_picture(number: int, width: int, height: int, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    """A gradient that drifts with a textured square that moves: compressible, yet never the same."""
    ys, xs = np.mgrid[:height, :width]
    rgb = np.stack([(xs * 2 + number * 5) % 256, (ys * 3 + number) % 256, (xs + ys) % 256], axis=-1)
    x, y = (number * 7) % max(1, width - 16), (number * 3) % max(1, height - 16)
    noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3))
    rgb[y : y + 16, x : x + 16] = noise[: height - y, : width - x]
    return av.VideoFrame.from_ndarray(rgb.astype(np.uint8), format="rgb24").reformat(format=pix_fmt)


def make_clip(
    path: Path,
    *,
    width: int = 96,
    height: int = 64,
    pix_fmt: str = "yuv420p",
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    durations: Sequence[int] = (512,) * 25,
    start_pts: int = 0,
    time_base: Fraction = Fraction(1, 12800),
    rotation: int = 0,
    audio_s: Sequence[float] = (),
    audio_start_s: float = 0,
    tags: tuple[int, int, int, int] | None = None,
    interlaced: bool = False,
    metadata: dict[str, str] | None = None,
    video_metadata: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
    **encoder: Any,
) -> Path:
    """Write a clip with one picture a duration and one AAC stream an entry of ``audio_s``.

    ``tags`` are primaries, transfer, matrix, range; ``encoder`` sets attributes of the codec context.
    """
    if options is None:
        options = {"preset": "ultrafast", "x264-params": "bframes=2:b-adapt=0:keyint=12"}
    if interlaced:
        options = {"flags": "+ildct+ilme", "preset": "ultrafast"}
    defaults = {"video_track_timescale": str(time_base.denominator), "movie_timescale": "614400"}
    container_options = muxer or (defaults if path.suffix in {".mp4", ".mov"} else {})
    with av.open(str(path), "w", container_options=container_options) as output:
        output.metadata.update(metadata or {})
        video = output.add_stream(codec, rate=25, options=dict(options))
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.metadata.update(video_metadata or {})
        video.time_base = video.codec_context.time_base = time_base
        video.codec_context.flags |= av.codec.context.Flags.frame_duration
        for name, value in encoder.items():
            setattr(video.codec_context, name, value)
        if tags:
            context = video.codec_context
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if rotation:
            video.set_display_rotation(rotation)
        voices = []
        for number, _ in enumerate(audio_s):
            voice = output.add_stream("aac", rate=48000)
            voice.layout = "mono"
            voice.metadata["language"] = ("eng", "fra", "deu")[number]
            voices.append(voice)
        output.start_encoding()
        pts = start_pts
        for number, duration in enumerate(durations):
            picture = moving_picture(number, width, height, pix_fmt)
            picture.pts, picture.duration, picture.time_base = pts, duration, time_base
            output.mux(video.encode(picture))
            pts += duration
        output.mux(video.encode(None))
        for number, (voice, length_s) in enumerate(zip(voices, audio_s, strict=True)):
            start = round(audio_start_s * 48000)
            for offset in range(0, round(length_s * 48000), 1024):
                phase = (np.arange(offset, offset + 1024) * (440 + 110 * number) / 48000) * 2 * np.pi
                tone = av.AudioFrame.from_ndarray(np.sin(phase).astype(np.float32)[None] / 4, "fltp", "mono")
                tone.sample_rate, tone.pts, tone.time_base = 48000, start + offset, Fraction(1, 48000)
                output.mux(voice.encode(tone))
            output.mux(voice.encode(None))
    return path


def remux_with_metadata(source: Path, target: Path) -> Path:
    """Copy a clip, adding chapters, a title and a cover picture as a second video stream."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        cover = new.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        new.metadata.update({"title": "A film", "comment": "as shot", "artist": "Nobody"})
        millisecond = Fraction(1, 1000)
        new.set_chapters(
            [
                {"id": n, "start": start, "end": end, "time_base": millisecond, "metadata": {"title": title}}
                for n, (start, end, title) in enumerate([(0, 400, "One"), (400, 900, "Two")], start=1)
            ]
        )
        picture = moving_picture(0, 32, 32, "yuvj420p")
        picture.pts = 0
        new.mux(cover.encode(picture))
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream.index]
                new.mux(packet)
    return target


def make_size_change(path: Path) -> Path:
    """An MPEG-TS clip of five frames of 96x64 and then five of 128x64."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
        stream.width, stream.height = 96, 64
        wider = VideoCodecContext.create("libx264", "w")
        wider.width, wider.height, wider.pix_fmt = 128, 64, "yuv420p"
        wider.framerate, wider.options = Fraction(25), {"tune": "zerolatency"}
        for encoder, start in ((stream.codec_context, 0), (wider, 5)):
            encoder.time_base = Fraction(1, 25)
            pictures: list[av.VideoFrame | None] = []
            for number in range(start, start + 5):
                picture = moving_picture(number, encoder.width, encoder.height)
                picture.pts, picture.time_base = number, Fraction(1, 25)
                pictures.append(picture)
            for packet in [packet for picture in [*pictures, None] for packet in encoder.encode(picture)]:
                packet.stream = stream
                output.mux(packet)
    return path


def top_level_box(data: bytes, kind: bytes) -> tuple[int, int]:
    """Start and end of the first outermost MP4 box of this kind."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == kind:
            return position, position + length
        position += length
    raise ValueError(kind)


def flip_bits(source: Path, target: Path, count: int, seed: int) -> Path:
    """Flip ``count`` bits inside the media data of an MP4 file."""
    data = bytearray(source.read_bytes())
    start, end = top_level_box(bytes(data), b"mdat")
    rng = np.random.default_rng(seed)
    for position in rng.integers(start + 16, end, count):
        data[position] ^= 1 << int(rng.integers(8))
    target.write_bytes(data)
    return target
