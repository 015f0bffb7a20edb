"""The clip of one face, with grey before the face in some of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av


def cover_face(
    clips: Path,
    path: Path,
    covered: Sequence[bool],
    box: tuple[int, int, int, int] = (160, 0, 480, 360),
) -> None:
    """Writes its first frames, as many as ``covered`` has entries; ``box`` is grey: x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    with (
        av.open(str(clips / "single_face.mp4")) as source,
        av.open(str(path), "w") as target,
    ):
        stream = target.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "10"})
        stream.width, stream.height = 640, 360
        for number, (covers, picture) in enumerate(zip(covered, source.decode(video=0), strict=False)):
            planes = picture.to_ndarray()
            luma = planes[:360]
            if covers:
                luma[y0:y1, x0:x1] = 90
                planes[360:] = 128
            changed = av.VideoFrame.from_ndarray(planes, "yuv420p")
            changed.pts, changed.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(changed))
        target.mux(stream.encode(None))
