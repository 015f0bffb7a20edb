"""Whether decoding may start at a packet that its container calls a keyframe.

H.264 streams with intra refresh have recovery points, which libav calls keyframes too: decoding may
start there, but the first pictures are not whole. Here only an intra picture counts (ITU-T H.264, 7.3.3).
"""

from __future__ import annotations

from collections.abc import Iterator

_SLICE, _IDR = 1, 5
_INTRA_SLICES = {2, 4, 7, 9}
# A slice header starts with two short numbers.
_HEADER_BYTES = 8


def holds_intra_picture(codec: str, payload: bytes, extradata: bytes | None) -> bool:
    """Look into a packet.

    Args:
        codec: libav's name; all but ``h264`` are believed.
        payload: of a packet that is marked as a keyframe.
        extradata: of the stream.
    """
    if codec != "h264":
        return True
    for unit in _units(payload, extradata):
        kind = unit[0] & 31
        if kind == _IDR:
            return True
        if kind == _SLICE:
            return _slice_type(unit[1 : 1 + _HEADER_BYTES]) in _INTRA_SLICES
    return True


def _units(payload: bytes, extradata: bytes | None) -> Iterator[bytes]:
    """The starts of the NAL units of a packet."""
    position = 0
    if extradata and extradata[0] == 1 and len(extradata) > 4:
        length_bytes = (extradata[4] & 3) + 1
        while position + length_bytes < len(payload):
            start = position + length_bytes
            yield payload[start : start + 1 + _HEADER_BYTES]
            position = start + int.from_bytes(payload[position:start], "big")
        return
    while (position := payload.find(b"\0\0\1", position)) >= 0:
        position += 3
        if position < len(payload):
            yield payload[position : position + 1 + _HEADER_BYTES]


def _slice_type(header: bytes) -> int:
    """The second Exp-Golomb number of a slice header, after first_mb_in_slice."""
    bits = "".join(f"{byte:08b}" for byte in header)
    value = 0
    for _ in range(2):
        zeros = len(bits) - len(bits.lstrip("0"))
        end = 2 * zeros + 1
        value = int(bits[zeros:end] or "0", 2) - 1
        bits = bits[end:]
    return value
