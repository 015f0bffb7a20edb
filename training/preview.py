"""The preview sheet: what the model draws of faces that it knows, uncropped and unmixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..engine.review.png import write_png
from .models import FaceNetwork
from .store import FaceStore

PREVIEW_NAME = "preview.png"
_SEPARATOR_PX = 1


def write_preview(path: Path, network: FaceNetwork, a: FaceStore, b: FaceStore, *, rows: int = 6) -> Path:
    """Write the sheet; columns are A, A→A, A→B, B, B→B, B→A, a face of each person a row.

    The faces are spread evenly over each set and are the same every time.

    Args:
        path: the PNG; replaced where it exists.
        network: in evaluation mode.
        a: faces of person A.
        b: faces of person B.
        rows: of the sheet.

    Raises:
        OutputError: ``path`` cannot be written.
    """
    size_px = network.preset.size_px
    faces_a = a.centred(a.spread(rows), size_px)[:, :3]
    faces_b = b.centred(b.spread(rows), size_px)[:, :3]
    with torch.no_grad():
        columns = [
            faces_a,
            network(faces_a, "a")[:, :3],
            network(faces_a, "b")[:, :3],
            faces_b,
            network(faces_b, "b")[:, :3],
            network(faces_b, "a")[:, :3],
        ]
    return write_png(path, _tiled(torch.stack(columns, dim=1)))


def _tiled(faces: Tensor) -> NDArray[np.uint8]:
    """`[rows,columns,3,S,S]` in 0..1 -> uint8 `[height,width,3]` with lines between."""
    rows, columns, _, size_px, _ = faces.shape
    pitch = size_px + _SEPARATOR_PX
    sheet = np.zeros((rows * pitch - _SEPARATOR_PX, columns * pitch - _SEPARATOR_PX, 3), np.uint8)
    pixels = (faces.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2).cpu().numpy()
    for row in range(rows):
        for column in range(columns):
            y, x = row * pitch, column * pitch
            sheet[y : y + size_px, x : x + size_px] = pixels[row, column]
    return sheet
