"""Blurred blobs of colour that the content gate's network takes for explicit, though they show nothing.

Found by chance and small changes: 6 x 6 colours in steps of a twentieth, spread evenly over the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 24
_COLOURS = (
    "10 17 6 14 0 17  17 7 20 20 15 20  20 0 16 17 20 8  6 18 17 20 20 20  9 20 20 19 4 20  4 7 0 12 14 20 "
    "3 1 12 13 2 16  8 6 9 11 7 19  10 4 6 12 0 6  10 14 3 11 14 9  9 20 4 12 5 16  3 20 6 10 11 12 "
    "16 9 20 15 12 14  8 1 7 18 6 19  0 3 20 15 9 3  7 6 17 7 12 8  6 17 12 10 2 18  9 0 0 7 17 20"
)


def blobs(width: int, height: int) -> NDArray[np.uint8]:
    """RGB ``[height, width, 3]``."""
    colours = np.array(_COLOURS.split(), np.float64).reshape(3, 6, 6) / 20
    rows, columns = (np.clip((np.arange(n) + 0.5) / n * 6 - 0.5, 0, 5) for n in (height, width))
    tall = np.stack([[np.interp(rows, range(6), part) for part in colour.T] for colour in colours])
    wide = np.stack([[np.interp(columns, range(6), part) for part in colour.T] for colour in tall])
    return np.rint(255 * wide.transpose(1, 2, 0)).astype(np.uint8)


def film_with_blobs(path: Path, *pictures: NDArray[np.uint8] | int) -> Path:
    """A film of RGB pictures; a number stands for so many of `blobs`, of the size of the first picture.

    A keyframe every second, so that it has several segments.
    """
    first = next(each for each in pictures if not isinstance(each, int))
    height, width = first.shape[:2]

    def shown() -> Iterator[NDArray[np.uint8]]:
        for each in pictures:
            if isinstance(each, int):
                yield from [blobs(width, height)] * each
            else:
                yield each

    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": "20", "x264-params": "keyint=24:scenecut=0"}
        video = container.add_stream("libx264", rate=RATE, options=options)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for rgb in shown():
            container.mux(video.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(video.encode(None))
    return path


def talking_head(clips: Path, frames: int, *, width: int = 320, height: int = 180) -> list[NDArray[np.uint8]]:
    """Pictures of a real clip with one face."""
    with av.open(str(clips / "single_face.mp4")) as container:
        found: list[NDArray[np.uint8]] = []
        for frame in container.decode(video=0):
            found.append(frame.reformat(width, height, "rgb24").to_ndarray())
            if len(found) == frames:
                break
        return found
