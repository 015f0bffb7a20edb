"""What launches are given, checked: of a wrong number the device would write anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..launcher import Dimensions
from ..memory import DeviceFrame, DeviceTensor

LONGEST_SIDE_PX = 8192
_TEXELS = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}


def texel_of(tensor: DeviceTensor) -> str:
    """How kernels for such a tensor's numbers are named."""
    if tensor.dtype not in _TEXELS:
        raise ValueError(f"tensors: must be float32 or float16, not {tensor.dtype}")
    return _TEXELS[tensor.dtype]


def side_px(tensor: DeviceTensor, name: str) -> int:
    """Of a batch of square pictures."""
    shape = tensor.shape
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or not 1 <= shape[3] <= LONGEST_SIDE_PX:
        raise ValueError(f"{name}: must be [items, 3, size, size], size 1 to {LONGEST_SIDE_PX}, not {shape}")
    return shape[3]


def require(tensor: DeviceTensor, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """That a tensor is of this shape and type."""
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ValueError(f"{name}: must be {dtype} {list(shape)}, not {tensor.dtype} {list(tensor.shape)}")


def numbers(
    frame_of: ArrayLike, items: ArrayLike | None, frames: int, faces: int, room: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """``frame_of`` and ``items``: a wrong one would have the device write anywhere."""
    chosen = np.asarray(frame_of, np.intp).reshape(-1)
    if len(chosen) != faces:
        raise ValueError(f"frame_of: must be one for each of the {faces} matrices")
    _require_below("frame_of", chosen, frames)
    return chosen, item_numbers(items, faces, room)


def item_numbers(items: ArrayLike | None, faces: int, room: int) -> NDArray[np.intp]:
    """``items`` for so many faces, of tensors with room for so many."""
    numbered = np.arange(faces) if items is None else np.asarray(items, np.intp).reshape(-1)
    if len(numbered) != faces:
        raise ValueError(f"items: must be one for each of the {faces} faces")
    _require_below("items", numbered, room)
    if len(np.unique(numbered)) < faces:
        raise ValueError("items: must differ")
    return numbered


def _require_below(name: str, values: NDArray[np.intp], limit: int) -> None:
    if len(values) and not (values.min() >= 0 and values.max() < limit):
        raise ValueError(f"{name}: must be 0 to {limit - 1}")


def require_affines(name: str, affines: NDArray[np.float64], count: int) -> None:
    """That there are so many, finite, and each with an inverse."""
    if affines.shape != (count, 2, 3) or not np.isfinite(affines).all():
        raise ValueError(f"{name}: must be finite, [N, 2, 3]")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        invertible = np.isfinite(1.0 / np.linalg.det(affines[:, :, :2]))
    if not invertible.all():
        raise ValueError(f"{name}: must be invertible")


def on_rows_of(
    frames: Sequence[DeviceFrame], chosen: NDArray[np.intp], matrices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Affines that end in shared coordinates, for the rows of their very fields."""
    require_affines("matrices", matrices, len(chosen))
    placed = np.array(matrices, np.float64)
    placed[:, 1, 2] -= np.array([frame.row_offset for frame in frames])[chosen]
    return placed


def grid_over(width: int, height: int, count: int, block: Dimensions) -> Dimensions:
    return -(-width // block[0]), -(-height // block[1]), count
