"""Clips through Reader and Writer with nothing changed, and what comes out of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from make_clips import make_clip

from crossface.engine.video.reader import Reader, VideoInfo
from crossface.engine.video.writer import Writer


def lossless_clip(path: Path, pix_fmt: str = "yuv420p", **options: object) -> Path:
    """A clip that holds every sample of ``pix_fmt``, with exact times."""
    if pix_fmt.startswith("yuvj"):
        codec, encoder = "mjpeg", {}
    elif pix_fmt.endswith("12le") or pix_fmt.startswith("gbrp"):
        codec, encoder = (
            "libx265",
            {"preset": "ultrafast", "x265-params": "lossless=1:log-level=none:bframes=0"},
        )
    else:
        codec, encoder = "libx264", {"preset": "ultrafast", "qp": "0"}
    return make_clip(path, codec=codec, pix_fmt=pix_fmt, options=encoder, **options)


def described(path: Path) -> VideoInfo:
    with Reader(path, trusted=True) as reader:
        return reader.info


def copied(source: Path, target: Path, **options: object) -> tuple[VideoInfo, list[str]]:
    """Every frame through Reader and Writer, unchanged; gives the target's description and the losses."""
    with Reader(source, trusted=True) as reader, Writer(target, reader.info, **options) as writer:
        for frame in reader:
            writer.write(frame)
    return described(target), writer.losses


def shown_times(path: Path) -> list[tuple[Fraction, Fraction]]:
    with Reader(path, trusted=True) as reader:
        return [(frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in reader]


def pictures(path: Path) -> list[av.VideoFrame]:
    """Decoded by PyAV alone."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))
