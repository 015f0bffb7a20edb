"""Whether a film is decoded on a device: its first picture must be the CPU's, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np

from ...frame import Frame
from ...on_device.frame import Decoded
from ...on_device.nvdec import EXACT_CODECS, FORMATS, HardwareDecoder
from ..colour import tags_of
from ..info import VideoInfo
from ..planes import PIXEL_LAYOUTS, planes_of
from .interlace import Interlaced
from .times import Placed

NOT_DECODED = "{} does not decode this kind of film"


def why_not(info: VideoInfo, interlaced: Interlaced, *, tolerant: bool) -> str | None:
    """Why a film cannot be decoded on any device; None where one may try.

    Args:
        info: of the film, as the CPU decodes it.
        interlaced: as of `Reader`.
        tolerant: damage is tolerated.
    """
    codec = av.Codec(info.codec, "r").canonical_name
    if codec not in EXACT_CODECS:
        return f"no GPU decodes {codec} to the very same samples"
    if info.decoded_pix_fmt not in FORMATS:
        return f"no GPU gives {info.decoded_pix_fmt} as the kernels there read it"
    if interlaced != "refuse":
        return "interlaced pictures are taken apart there"
    if tolerant:
        return "damage is tolerated, which only its decoders tell"
    return None


def difference(host: Placed, given: Placed, hardware: HardwareDecoder) -> str | None:
    """How the first picture of a film differs from what the CPU decodes; None where it does not.

    Decoders of devices leave out the edges that a stream cuts off at the left and at the top, and fall back
    to the CPU by themselves.

    Args:
        host: the CPU's.
        given: of the same film by ``hardware``.
        hardware: that decoder.
    """
    wanted = FORMATS[host.picture.format.name]
    picture = given.picture
    if picture.sw_format is None:
        return NOT_DECODED.format(hardware.name)
    if picture.sw_format.name != wanted:
        return f"{hardware.name} gives {picture.sw_format.name}, not {wanted}"
    size, host_size = ((each.width, each.height) for each in (picture, host.picture))
    if (size, given.pts) != (host_size, host.pts) or tags_of(picture) != tags_of(host.picture):
        return f"{hardware.name} gives a first frame of another size, time or colour"
    padding_bits = PIXEL_LAYOUTS[wanted].padding_bits
    for plane, same in zip(planes_of(hardware.downloaded(picture)), planes_of(host.picture), strict=True):
        if not np.array_equal(plane, np.left_shift(same, padding_bits)):
            return f"{hardware.name} gives a first frame with other samples"
    return None


def on_device(info: VideoInfo) -> VideoInfo:
    """What is known of a film, whose frames are a device's."""
    pix_fmt = FORMATS[info.decoded_pix_fmt]
    colour = replace(info.colour, padding_bits=PIXEL_LAYOUTS[pix_fmt].padding_bits)
    return replace(info, pix_fmt=pix_fmt, decoded_pix_fmt=pix_fmt, colour=colour)


def on_host(frame: Decoded, hardware: HardwareDecoder | None) -> Frame:
    """The frame, or a copy in the host's memory of one that ``hardware`` has decoded."""
    if isinstance(frame, Frame):
        return frame
    assert hardware is not None and frame.source is not None
    picture = hardware.downloaded(frame.source)
    place = frame.index, frame.pts, frame.duration, frame.time_base
    return Frame(*place, planes_of(picture), frame.colour, picture)
