"""Small generated clips, whole and damaged, made with PyAV alone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

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
    rate: Fraction | int = 25,
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
        video = output.add_stream(codec, rate=rate, options=dict(options))
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


def make_interlaced(
    path: Path,
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    bottom_first: bool = False,
    frames: int = 10,
    width: int = 96,
    height: int = 64,
    options: dict[str, str] | None = None,
) -> Path:
    """25 frames a second whose fields show the pictures 2n and 2n + 1 of `sliding_bar`."""
    time_base = Fraction(1, 25)
    flags = {"flags": "+ildct+ilme", **(options or {})}
    with av.open(str(path), "w") as output:
        video = output.add_stream(codec, rate=25, options=flags)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        marked: av.filter.Graph | None = None
        for number in range(frames):
            early, late = (sliding_bar(2 * number + n, width, height) for n in (0, 1))
            woven = early.copy()
            woven[int(not bottom_first) :: 2] = late[int(not bottom_first) :: 2]
            picture = av.VideoFrame.from_ndarray(woven, format="gray").reformat(format=pix_fmt)
            picture.pts, picture.time_base = number, time_base
            if marked is None:
                marked = av.filter.Graph()
                source = marked.add_buffer(
                    width=width, height=height, format=picture.format, time_base=time_base
                )
                order = marked.add("setfield", "bff" if bottom_first else "tff")
                marked.link_nodes(source, order, marked.add("buffersink")).configure()
            marked.push(picture)
            picture = marked.pull()
            picture.pict_type = PictureType.NONE
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
    return path


def sliding_bar(moment: int, width: int, height: int) -> np.ndarray:
    """A soft vertical bar that moves by 2 px a moment: uint8 ``[height, width]``."""
    columns = np.arange(width) - (10 + 2 * moment)
    return np.repeat((60 + 150 * np.exp(-((columns / 5) ** 2)))[None], height, 0).astype(np.uint8)


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
