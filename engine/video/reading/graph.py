"""libav's filters, one at a time, and the copies that they make."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

import av
from av.filter import Graph

# What vector instructions of encoders and filters may rely on.
_ALIGNMENT_BYTES = 32


def graph_of(picture: av.VideoFrame, time_base: Fraction, step: tuple[str, str]) -> Graph:
    """A graph of one filter.

    Args:
        picture: what goes in is like this.
        time_base: seconds a unit of the times of what goes in.
        step: name and arguments of the filter.
    """
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=time_base
    )
    graph.link_nodes(source, graph.add(*step), graph.add("buffersink")).configure()
    return graph


def copied(picture: av.VideoFrame) -> av.VideoFrame:
    """A copy of a picture with samples of its own, and everything that comes with it."""
    graph = graph_of(picture, Fraction(1, 1000), ("copy", ""))
    graph.push(picture)
    copy = cast(av.VideoFrame, graph.pull())
    copy.pts, copy.time_base, copy.duration = picture.pts, picture.time_base, picture.duration
    return copy


def aligned(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture, or a copy where columns cut off at its left leave its rows at odd addresses."""
    if any(plane.buffer_ptr % _ALIGNMENT_BYTES for plane in picture.planes):
        return copied(picture)
    return picture
