"""Packets of an open file, also of one that holds more streams than its start told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import av.error
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


class PacketDigest:
    """sha256 over packets: time, stream and payload; no path enters it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, packet: Packet[Stream]) -> None:
        head = f"{packet.stream_index} {packet.pts} {packet.dts} {packet.size}\n"
        self._digest.update(head.encode())
        if packet.size:
            self._digest.update(packet)

    def add_error(self, error: av.error.FFmpegError) -> None:
        """Reading ended with it."""
        self._digest.update(str(error.errno).encode())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()
