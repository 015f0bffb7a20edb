"""Interlaced pictures: which field comes first, and frames made of them by libav's bwdif."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Literal, cast

import av
import av.error
from av.filter import Graph

from ..info import FieldOrder
from ..planes import planes_of
from ..scaler import scaled
from .graph import graph_of
from .times import Placed

Interlaced = Literal["refuse", "deinterlace", "as_progressive", "fields"]


def field_order(picture: av.VideoFrame) -> FieldOrder:
    """Which of a picture's fields was taken first.

    PyAV does not show the flag, but libav's filters obey it: of a picture with dark even
    and bright odd rows, the field that ``separatefields`` gives first tells.

    Args:
        picture: a decoded frame; it is not changed.
    """
    if not picture.interlaced_frame:
        return "progressive"
    probe = scaled(picture, width=16, height=16, format="yuv444p")
    for plane in planes_of(probe):
        plane[0::2], plane[1::2] = 0, 255
    probe.pts, probe.time_base = 0, Fraction(1, 25)
    graph = graph_of(probe, probe.time_base, ("separatefields", ""))
    graph.push(probe)
    first = cast(av.VideoFrame, graph.pull())
    return "top_first" if int(planes_of(first)[0][0, 0]) == 0 else "bottom_first"


def deinterlaced(pictures: Iterable[Placed], time_base: Fraction) -> Iterator[Placed]:
    """One progressive frame a picture, at the very same times; progressive pictures stay untouched.

    bwdif interpolates the second field's rows from the pictures before, now and after,
    so its first and last frames lean on themselves.

    Args:
        pictures: in presentation order.
        time_base: seconds a unit of their times.
    """
    graph: Graph | None = None
    waiting: deque[Placed] = deque()
    for placed in pictures:
        if graph is None:
            # deint=interlaced looks at each picture's own flag, parity=auto at its field order.
            graph = graph_of(
                placed.picture, time_base, ("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
            )
        waiting.append(placed)
        # The graph keeps its frame until the next comes, and times must rise in it whatever they were.
        graph.push(_stamped(placed.picture, placed.pts, time_base))
        yield from _pulled(graph, waiting, time_base)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, waiting, time_base)


def _stamped(picture: av.VideoFrame, pts: int, time_base: Fraction) -> av.VideoFrame:
    picture.pts, picture.time_base = pts, time_base
    return picture


def _pulled(graph: Graph, waiting: deque[Placed], time_base: Fraction) -> Iterator[Placed]:
    while True:
        try:
            picture = cast(av.VideoFrame, graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        source = waiting.popleft()
        # bwdif counts in halves of the time base.
        _stamped(picture, source.pts, time_base).duration = source.picture.duration
        yield Placed(picture, source.pts, source.repeated)
