"""What a container itself says of its pictures, which PyAV does not show: their size, and edges to hide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from ..info import Crop
from .boxes import boxes_at
from .damage import Damage
from .ebml import elements

# Matroska's element IDs (RFC 9559): the way to a track's video settings, and what is in them.
_SEGMENT, _TRACKS, _TRACK, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xB0, 0xBA
_PIXEL_CROPS = (0x54BB, 0x54AA, 0x54CC, 0x54DD)
# Headers are small; what lies behind this is not searched.
_MOST_BYTES = 1 << 24


@dataclass(frozen=True)
class PictureHeader:
    """A container's own words on its pictures.

    Attributes:
        size: width and height in px, or None where it says nothing.
        cropping: rows and columns that players hide: top, bottom, left, right.
    """

    size: tuple[int, int] | None = None
    cropping: Crop = (0, 0, 0, 0)


def picture_header(path: Path, container: InputContainer, stream: VideoStream) -> PictureHeader:
    """Read the sample entry of an MP4 or MOV file, or the track of a Matroska file.

    Args:
        path: the file.
        container: the same, open.
        stream: its video.
    """
    name = container.format.name
    try:
        if name.startswith("mov"):
            return _of_mp4(path, stream)
        if "matroska" in name:
            return _of_matroska(path, stream.index)
    except (ValueError, LookupError, ZeroDivisionError):
        pass  # a header that cannot be read says nothing
    return PictureHeader()


def tell_of(header: PictureHeader, size: tuple[int, int], damage: Damage) -> None:
    """Warns where a container contradicts its pictures, of this ``size`` in px, or hides their edges."""
    # Padding to whole macroblocks is no contradiction.
    if header.size and max(abs(said - is_) for said, is_ in zip(header.size, size, strict=True)) >= 16:
        damage.warn(
            "sizes",
            f"its header says {header.size[0]}x{header.size[1]}, its pictures are {size[0]}x{size[1]}",
        )
    if any(header.cropping):
        damage.warn(
            "crops",
            f"hides {header.cropping} px at the top, bottom, left and right from players: they are kept",
        )


def _of_mp4(path: Path, stream: VideoStream) -> PictureHeader:
    moov = next((body for kind, body in boxes_at(path) if kind == b"moov"), b"")
    for kind, track in _inner(moov):
        if kind == b"trak" and _track_id(dict(_inner(track))[b"tkhd"]) == stream.id:
            body = track
            for step in (b"mdia", b"minf", b"stbl", b"stsd"):
                body = dict(_inner(body))[step]
            # After the version and a count comes one box an entry: 78 bytes of fields, then boxes.
            (_, entry), *_ = _inner(body[8:])
            size = _number(entry[24:26]), _number(entry[26:28])
            clap = dict(_inner(entry[78:])).get(b"clap")
            cropping = _clean_aperture(clap, stream.width, stream.height) if clap else (0, 0, 0, 0)
            return PictureHeader(size, cropping)
    return PictureHeader()


def _track_id(tkhd: bytes) -> int:
    return _number(tkhd[20:24] if tkhd[0] == 1 else tkhd[12:16])


def _clean_aperture(clap: bytes, width: int, height: int) -> Crop:
    """ISO/IEC 14496-12, 12.1.4: size and offset of the centre, as fractions of px."""
    numbers = [int.from_bytes(clap[n : n + 4], "big", signed=True) for n in range(0, 32, 4)]
    shown_width, shown_height, x, y = (
        over / under for over, under in zip(numbers[::2], numbers[1::2], strict=True)
    )
    left, top = (width - shown_width) / 2 + x, (height - shown_height) / 2 + y
    return _valid(top, height - shown_height - top, left, width - shown_width - left)


def _inner(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each box in a box."""
    position = 0
    while position + 8 <= len(body):
        length = _number(body[position : position + 4])
        if length < 8:
            return
        yield body[position + 4 : position + 8], body[position + 8 : position + length]
        position += length


def _of_matroska(path: Path, track: int) -> PictureHeader:
    with path.open("rb") as file:
        head = file.read(_MOST_BYTES)
    segment = dict(elements(head))[_SEGMENT]
    tracks = dict(elements(segment))[_TRACKS]
    entries = [body for identity, body in elements(tracks) if identity == _TRACK]
    video = dict(elements(dict(elements(entries[track]))[_VIDEO]))
    size = _number(video[_PIXEL_WIDTH]), _number(video[_PIXEL_HEIGHT])
    return PictureHeader(size, _valid(*(_number(video.get(side, b"")) for side in _PIXEL_CROPS)))


def _number(body: bytes) -> int:
    return int.from_bytes(body, "big")


def _valid(top: float, bottom: float, left: float, right: float) -> Crop:
    if min(top, bottom, left, right) < 0:
        return 0, 0, 0, 0
    return round(top), round(bottom), round(left), round(right)
