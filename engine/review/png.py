"""PNG files, through the codec that PyAV brings along."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from ..errors import BadInputError, unreadable
from ..part_file import PartFile
from ..sequence.png_patch import png_chunks


def write_png(path: Path | str, rgb: NDArray[np.uint8]) -> Path:
    """Write an image losslessly; the file appears whole or not at all.

    Args:
        path: replaced where it exists.
        rgb: uint8 ``[height, width, 3]``.

    Raises:
        OutputError: the folder is missing or cannot be written.
    """
    height, width, _ = rgb.shape
    encoder = VideoCodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    # Level 6, the default, takes three times as long to save a tenth.
    encoder.options = {"pred": "up", "compression_level": "4"}
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    packets = [*encoder.encode(picture), *encoder.encode(None)]
    with PartFile(Path(path), overwrite=True) as part:
        part.write_bytes(b"".join(bytes(packet) for packet in packets))
    return Path(path)


def read_png(path: Path | str) -> NDArray[np.uint8]:
    """Read an image as uint8 ``[height, width, 3]`` RGB; alpha is dropped, grey is spread.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not a PNG file, or damaged.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    # libav shows what it can of a damaged image; the checksums tell that it is one.
    png_chunks(Path(path))
    decoder = VideoCodecContext.create("png", "r")
    decoder.options = {"err_detect": "crccheck+explode", "max_pixels": str(1 << 27)}
    try:
        pictures = [*decoder.decode(Packet(data)), *decoder.decode(None)]
    except av.error.FFmpegError as error:
        raise _damaged(path) from error
    if len(pictures) != 1 or pictures[0].is_corrupt:
        raise _damaged(path)
    return pictures[0].to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def _damaged(path: Path | str) -> BadInputError:
    return BadInputError(f"{path}: the PNG image is damaged: export it again")
