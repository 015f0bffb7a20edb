"""Clips of other sizes and lengths, for measurements: made from a real one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av


def enlarge(source: Path, target: Path, height: int, frames: int, *, gop: int = 125) -> Path:
    """Scale a clip to ``height`` px and play it forwards and backwards, for so many frames at 25 a second."""
    with av.open(str(source)) as old:
        film = old.streams.video[0]
        width = round(film.width * height / film.height / 2) * 2
        pictures = []
        for picture in old.decode(film):
            pictures.append(picture.reformat(width, height, "yuv420p", interpolation="BICUBIC"))
            if len(pictures) == frames:
                break
    order = [*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]
    with av.open(str(target), "w") as new:
        options = {"preset": "veryfast", "crf": "18", "g": str(gop)}
        stream = new.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            picture = pictures[order[number % len(order)]]
            picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, 25), 0
            new.mux(stream.encode(picture))
        new.mux(stream.encode(None))
    return target
