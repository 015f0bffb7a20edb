"""Packets of an open file, also of one that holds more streams than its start told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

LATE_STREAM = "a stream begins in its middle: it is left out"


def demuxed(
    container: InputContainer, *streams: Stream, late: Callable[[], object] = lambda: None
) -> Iterator[Packet[Any]]:
    """Packets in the order of the file.

    Args:
        container: nobody else may read from it.
        streams: whose packets; all where there are none.
        late: called at the end where a stream that was not known at the start was met, as MPEG-TS allows.

    Raises:
        FFmpegError: as libav.
    """
    try:
        yield from container.demux(list(streams)) if streams else container.demux()
    except IndexError:
        # PyAV has given the packets of all others by then, and stumbles over the end of this one.
        late()
