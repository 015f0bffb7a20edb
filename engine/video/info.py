"""What a file says about its video, and what its first frame shows."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.stream import VideoStream
from numpy.typing import NDArray

from ..face.align import display_matrix
from ..frame import ColourDescription
from .colour import ColourTags, describe, tags_of
from .scaler import side_data_of

FieldOrder = Literal["progressive", "top_first", "bottom_first"]
Crop = tuple[int, int, int, int]

_HDR_METADATA = {
    SideDataType.MASTERING_DISPLAY_METADATA: "mastering display",
    SideDataType.CONTENT_LIGHT_LEVEL: "content light level",
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DOVI_METADATA: "Dolby Vision",
    SideDataType.DOVI_RPU_BUFFER: "Dolby Vision",
}
# MPEG-1 and MPEG-2 write all ones for a rate that varies.
_VARIABLE_BIT_RATE = 0x3FFFF * 400
# libav's way to say that a bitstream names no level.
_UNKNOWN_LEVEL = -99


@dataclass(frozen=True)
class MasteringDisplay:
    """The display that HDR was graded on (SMPTE ST 2086); None where the stream leaves it out.

    Attributes:
        primaries: x and y (CIE 1931) of red, green and blue.
        white_point: x and y.
        min_luminance: cd/m2.
        max_luminance: cd/m2.
    """

    primaries: tuple[tuple[Fraction, Fraction], ...] | None
    white_point: tuple[Fraction, Fraction] | None
    min_luminance: Fraction | None
    max_luminance: Fraction | None


@dataclass(frozen=True)
class ContentLight:
    """The brightest pixel and the brightest frame average, in cd/m2 (CTA-861.3: MaxCLL, MaxFALL)."""

    max_cll: int
    max_fall: int


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its video, and what its first frame shows.

    Attributes:
        path: the file.
        stream_index: the video's place among the file's streams.
        codec: libav's name of the decoder.
        width: of the coded picture, before rotation, in pixels.
        height: as ``width``.
        pix_fmt: libav's name of the pixel format of the frames.
        time_base: seconds a unit of every time below.
        start_pts: of the first frame.
        frame_count_declared: what the container says, edited-out frames included; 0 where it does not.
        average_rate: frames a second, or None.
        sample_aspect_ratio: width of a pixel over its height, or None where unspecified.
        rotation: degrees counter-clockwise that a player turns the picture by.
        display_matrix: nine fixed-point numbers in libav's layout, or None.
        tags: colour tags as found.
        colour: colour as decided.
        hdr_metadata: names of the HDR metadata that frames carry.
        decoded_pix_fmt: what the decoder gave: a big-endian format has ``pix_fmt`` as its twin.
        profile: of the codec, by libav's name, or None.
        level: as the bitstream has it (41 is H.264's 4.1), or None.
        codec_tag: the container's four characters for the codec.
        bit_rate: of the video stream, in bits a second, or None.
        reorder_frames: how many frames the codec may hold back to sort them.
        field_order: of the frames as they leave the reader; "progressive" once deinterlaced.
        timecode: of the first frame, such as ``01:00:00;02``, or None.
        mastering_display: of HDR, or None.
        content_light: of HDR, or None.
        cropping: rows and columns, top, bottom, left, right, that the container tells players to hide;
            frames hold them.
        times_are_exact: False where times were made from a frame rate.
    """

    path: Path
    stream_index: int
    codec: str
    width: int
    height: int
    pix_fmt: str
    time_base: Fraction
    start_pts: int
    frame_count_declared: int
    average_rate: Fraction | None
    sample_aspect_ratio: Fraction | None
    rotation: int
    display_matrix: tuple[int, ...] | None
    tags: ColourTags
    colour: ColourDescription
    hdr_metadata: tuple[str, ...]
    decoded_pix_fmt: str = ""
    profile: str | None = None
    level: int | None = None
    codec_tag: str = ""
    bit_rate: int | None = None
    reorder_frames: int = 0
    field_order: FieldOrder = "progressive"
    timecode: str | None = None
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    cropping: Crop = (0, 0, 0, 0)
    times_are_exact: bool = True

    @property
    def display(self) -> NDArray[np.float64]:
        """The linear map ``[2, 2]`` from luma px to the picture as a player shows it."""
        return display_matrix(float(self.sample_aspect_ratio or 1), self.rotation)


def info_of(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    first: av.VideoFrame,
    *,
    decoded_pix_fmt: str,
    start_pts: int,
    time_base: Fraction,
    rate: Fraction | None,
    field_order: FieldOrder,
    cropping: Crop,
    times_are_exact: bool,
) -> VideoInfo:
    """Gather what is known of a video once its first frame is there.

    Args:
        first: the first frame as it leaves the reader.

    Raises:
        BadInputError: a pixel format, matrix or siting that is not supported.
    """
    side_data = side_data_of(first)
    matrix = side_data.get(SideDataType.DISPLAYMATRIX)
    decoder = stream.codec_context
    return VideoInfo(
        path=path,
        stream_index=stream.index,
        codec=decoder.name,
        width=first.width,
        height=first.height,
        pix_fmt=first.format.name,
        time_base=time_base,
        start_pts=start_pts,
        frame_count_declared=stream.frames,
        average_rate=rate,
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        rotation=first.rotation,
        display_matrix=None if matrix is None else struct.unpack("=9i", bytes(matrix)),
        tags=tags_of(first),
        colour=describe(first, path),
        hdr_metadata=tuple(dict.fromkeys(name for kind, name in _HDR_METADATA.items() if kind in side_data)),
        decoded_pix_fmt=decoded_pix_fmt,
        profile=decoder.profile,
        level=None if decoder.level == _UNKNOWN_LEVEL else decoder.level,
        codec_tag=decoder.codec_tag,
        bit_rate=stream.bit_rate if stream.bit_rate not in (0, _VARIABLE_BIT_RATE) else None,
        reorder_frames=int(decoder.has_b_frames),
        field_order=field_order,
        timecode=_timecode(container, stream),
        mastering_display=_mastering_display(side_data.get(SideDataType.MASTERING_DISPLAY_METADATA)),
        content_light=_content_light(side_data.get(SideDataType.CONTENT_LIGHT_LEVEL)),
        cropping=cropping,
        times_are_exact=times_are_exact,
    )


def _timecode(container: InputContainer, stream: VideoStream) -> str | None:
    for metadata in (stream.metadata, *(other.metadata for other in container.streams), container.metadata):
        # Matroska writes its keys in capitals.
        for key, value in metadata.items():
            if key.lower() == "timecode":
                return str(value)
    return None


def _mastering_display(data: Buffer | None) -> MasteringDisplay | None:
    """Read libav's AVMasteringDisplayMetadata: ten rationals, then two flags."""
    if data is None:
        return None
    *numbers, has_primaries, has_luminance = struct.unpack("=22i", bytes(data)[:88])
    if not all(numbers[1::2]):
        return None
    values = [Fraction(over, under) for over, under in zip(numbers[::2], numbers[1::2], strict=True)]
    points = list(zip(values[:8:2], values[1:8:2], strict=True))
    return MasteringDisplay(
        primaries=tuple(points[:3]) if has_primaries else None,
        white_point=points[3] if has_primaries else None,
        min_luminance=values[8] if has_luminance else None,
        max_luminance=values[9] if has_luminance else None,
    )


def _content_light(data: Buffer | None) -> ContentLight | None:
    return None if data is None else ContentLight(*struct.unpack("=2I", bytes(data)[:8]))
