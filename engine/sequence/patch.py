"""A picture's file with some samples of R, G, B replaced and everything else kept, for every format."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .dpx_patch import check_dpx, patch_dpx
from .exr_patch import check_exr, patch_exr
from .picture import Picture, Samples, read_picture
from .png_patch import check_png, patch_png
from .tiff_patch import check_tiff, patch_tiff


def read_patchable(path: Path, layer: str | None = None) -> Picture:
    """Reads a picture that can be written back as it was.

    Args:
        path: a PNG, TIFF, EXR or DPX file.
        layer: an EXR's layer, view or part; the main picture where None.

    Raises:
        InputMissingError, BadInputError, UsageError, ConfigurationError: as `read_picture`; also where it is
            stored in a way that cannot be written.
    """
    if path.suffix.lower() == ".png" and path.is_file():
        # Before libpng, which would print its complaints.
        check_png(path)
    picture = read_picture(path, layer)
    if picture.format == "dpx":
        check_dpx(path)
    elif picture.format == "tiff":
        check_tiff(path, picture.part)
    elif picture.format == "openexr":
        check_exr(path, picture.part)
    return picture


def patch(
    picture: Picture, rgb: Samples, changed: NDArray[np.bool_], comment: str | None, out: BinaryIO
) -> None:
    """Writes a picture's file with changed samples.

    Args:
        picture: as it was read.
        rgb: as ``picture.rgb``, with changes.
        changed: ``[height, width]``, True where a pixel of ``rgb`` has changed.
        comment: what the file says of itself; where, depends on the format.
        out: a new file.

    Raises:
        BadInputError: the file is damaged.
    """
    if picture.format == "openexr":
        patch_exr(picture, rgb, changed, comment, out)
    elif picture.format == "tiff":
        patch_tiff(picture, rgb, changed, comment, out)
    elif picture.format == "png":
        patch_png(picture, rgb, comment, out)
    else:
        patch_dpx(picture, rgb, comment, out)
