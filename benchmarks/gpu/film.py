"""A film to measure decoders and encoders with, and how it is read by the GPU's decoder."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.hwaccel import HWAccel

WIDTH, HEIGHT, FPS = 1920, 1080, 25
# Each shows another part of one big picture.
_PICTURES = 25
ENCODERS = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "20"}),
    "hevc": ("libx265", {"preset": "ultrafast", "crf": "22", "x265-params": "log-level=error"}),
}


class NotOnDeviceError(Exception):
    """The GPU does not do it; one line."""


def pictures() -> list[av.VideoFrame]:
    """Soft shapes under a camera that pans, with grain of its own in each picture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: HEIGHT + 2 * _PICTURES, : WIDTH + 4 * _PICTURES]
    scene = 120 + 50 * np.sin(x / 37) * np.cos(y / 53) + 30 * np.sin((x + 2 * y) / 11)
    found = []
    for number in range(_PICTURES):
        luma = scene[2 * number :, 4 * number :][:HEIGHT, :WIDTH] + rng.normal(0, 3, (HEIGHT, WIDTH))
        chroma = np.full((HEIGHT // 2, WIDTH), 128.0)
        planes = np.concatenate([luma, chroma]).clip(16, 235).astype(np.uint8)
        found.append(av.VideoFrame.from_ndarray(planes, format="nv12"))
    return found


def make_film(path: Path, codec: str, frames: int) -> Path:
    """Writes a film of one stream in ``h264`` or ``hevc``, by an encoder of the CPU."""
    name, options = ENCODERS[codec]
    shown = [picture.reformat(format="yuv420p") for picture in pictures()]
    with av.open(str(path), "w") as film:
        stream: Any = film.add_stream(name, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            picture = shown[_there_and_back(number)]
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return path


def _there_and_back(number: int) -> int:
    step = number % (2 * _PICTURES - 2)
    return min(step, 2 * _PICTURES - 2 - step)


def decode(path: Path, device: str) -> Iterator[av.VideoFrame]:
    """All pictures of a film.

    Args:
        path: of the film.
        device: ``cpu``, or the index of a GPU, in whose memory the pictures stay then.

    Raises:
        NotOnDeviceError: the GPU does not decode it.
    """
    if device == "cpu":
        with av.open(str(path)) as film:
            film.streams.video[0].thread_type = "AUTO"
            yield from film.decode(video=0)
        return
    try:
        # Nobody else uses CUDA in this process, so libav may start it.
        film = av.open(str(path), hwaccel=HWAccel("cuda", device=device, is_hw_owned=True))
    except (av.FFmpegError, RuntimeError) as error:
        raise NotOnDeviceError(f"NVDEC of GPU {device} does not open: {error}") from error
    with film:
        for picture in film.decode(video=0):
            # Whether it does is only told by what comes out.
            if picture.format.name != "cuda":
                raise NotOnDeviceError(f"NVDEC of GPU {device} leaves {path.suffix} films to the CPU")
            yield picture
