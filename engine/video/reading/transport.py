"""The packets of an MPEG transport stream (ISO/IEC 13818-1): does the file end with a whole one?"""

from __future__ import annotations

from pathlib import Path

_SYNC = 0x47
# Where the sync byte lies in a packet, and how long that is: plain, with a time before, with parity behind.
_LAYOUTS = ((0, 188), (4, 192), (0, 204))
_LOOKED_AT = 8


def odd_bytes(path: Path) -> int:
    """Bytes behind the last whole packet; 0 where packets cannot be told.

    Args:
        path: a readable MPEG-TS file.
    """
    with path.open("rb") as file:
        head = file.read(_LAYOUTS[-1][1] * _LOOKED_AT)
    for offset, packet_bytes in _LAYOUTS:
        if len(head) >= 2 * packet_bytes and set(head[offset::packet_bytes]) == {_SYNC}:
            return path.stat().st_size % packet_bytes
    return 0
