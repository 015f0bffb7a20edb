"""Masks on a device: cut to a face's outline, and given soft edges; one launch for many faces.

The functions of the same matter in `kernels` document them. Nothing here waits for the device.

Never executed on a GPU; the tests carry out its launches on the CPU, from the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._native import device as native
from ..launcher import Launcher
from ..memory import DeviceTensor
from .arguments import LONGEST_SIDE_PX, grid_over, item_numbers, require, texel_of
from .records import outline_jobs, soften_jobs
from .scratch import Scratch
from .upload_ring import UploadRing

_MOST_TAPS = 16385


class MaskKernels:
    """Kernels over masks ``[items, R, R]``, float32 or float16, on one lane.

    ``items`` tells for each face which item of the tensors it is: each its own; None for one after the
    other. Other items stay as they are.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._uploads = UploadRing(launcher)
        self._lines, self._tiles = Scratch(launcher), Scratch(launcher)

    def outline(
        self,
        masks: DeviceTensor,
        edges: Sequence[NDArray[np.float32]],
        *,
        items: ArrayLike | None = None,
    ) -> None:
        """Multiplies masks, in place, by `kernels.fill` of ``edges``.

        Args:
            masks: ``[items, R, R]``.
            edges: of each face's convex polygon float32 ``[K, 3]``, K as it may be: inward normal of length
                1 and its offset, inside is ``normal @ (x, y) > offset``, px. Without edges nothing is
                inside, unlike for `kernels.fill`: a face all of whose landmarks lie on a line has none.
            items: ``[N]``.

        Raises:
            ValueError: tensors or edges that do not fit, edges that are not finite, or a number out of range.
        """
        texel, size_px = texel_of(masks), _side_px(masks)
        numbered = item_numbers(items, len(edges), masks.shape[0])
        for each in edges:
            if each.ndim != 2 or each.shape[1] != 3 or not np.isfinite(each).all():
                raise ValueError("edges: must be finite, [K, 3]")
        if not len(edges):
            return
        together = np.concatenate([np.asarray(each, np.float32) for each in edges])
        jobs = outline_jobs(np.array([len(each) for each in edges]), numbered)
        edges_at, jobs_at = self._uploads.upload(np.ascontiguousarray(together), jobs)
        self._launcher.launch(
            f"outline_{texel}",
            grid_over(size_px, size_px, len(jobs), native.OUTLINE_BLOCK),
            native.OUTLINE_BLOCK,
            edges_at,
            jobs_at,
            size_px,
            masks.address,
        )

    def soften(
        self,
        masks: DeviceTensor,
        taps: NDArray[np.float32],
        border_px: float,
        out: DeviceTensor,
        *,
        shares: NDArray[np.float32] | None = None,
        areas: DeviceTensor | None = None,
        items: ArrayLike | None = None,
    ) -> None:
        """As `kernels.soften`, times a share.

        Args:
            masks: ``[items, R, R]``, in 0..1.
            taps: float32 ``[2 r + 1]``, of the blur along either axis; they sum to 1.
            border_px: over which the result fades towards the picture's edge, at least 1.
            out: as ``masks``, of the same type; it may be the same memory.
            shares: float32 ``[N]``, of each face; None for 1, and all items unless ``items`` are given.
            areas: float64 ``[items]``, filled with the means of what comes out, before the share.
            items: ``[N]``.

        Raises:
            ValueError: tensors that do not fit, a share that is not finite, or a number out of range.
        """
        texel, size_px = texel_of(masks), _side_px(masks)
        require(out, "out", masks.shape, masks.dtype)
        if areas is not None:
            require(areas, "areas", masks.shape[:1], np.dtype(np.float64))
        if taps.ndim != 1 or len(taps) % 2 == 0 or len(taps) > _MOST_TAPS:
            raise ValueError(f"taps: must be an odd number up to {_MOST_TAPS}")
        if not border_px >= 1.0:
            raise ValueError("border_px: must be at least 1")
        if shares is None:
            shares = np.ones(masks.shape[0] if items is None else np.size(np.asarray(items)), np.float32)
        if shares.ndim != 1 or not np.isfinite(shares).all():
            raise ValueError("shares: must be finite, [N]")
        jobs = soften_jobs(shares, item_numbers(items, len(shares), masks.shape[0]))
        if not len(jobs):
            return
        jobs_at, taps_at = self._uploads.upload(jobs, np.ascontiguousarray(taps, np.float32))
        pixels, radius = size_px * size_px, len(taps) // 2
        grid = grid_over(size_px, size_px, len(jobs), native.SOFTEN_BLOCK)
        lines_at = self._lines.address(4 * len(jobs) * pixels)
        tiles = grid[0] * grid[1]
        tiles_at = 0 if areas is None else self._tiles.address(8 * len(jobs) * tiles)
        self._launcher.launch(
            f"soften_down_{texel}",
            grid,
            native.SOFTEN_BLOCK,
            jobs_at,
            taps_at,
            radius,
            size_px,
            masks.address,
            lines_at,
        )
        self._launcher.launch(
            f"soften_across_{texel}",
            grid,
            native.SOFTEN_BLOCK,
            jobs_at,
            taps_at,
            radius,
            float(border_px),
            size_px,
            lines_at,
            out.address,
            tiles_at,
        )
        if areas is not None:
            self._launcher.launch(
                "soften_areas",
                (len(jobs), 1, 1),
                native.SOFTEN_AREAS_BLOCK,
                jobs_at,
                tiles_at,
                tiles,
                pixels,
                areas.address,
            )

    def uncover(self, masks: DeviceTensor, visible: DeviceTensor, *, items: ArrayLike | None = None) -> None:
        """As `kernels.uncover`, in place.

        Args:
            masks: ``[all, R, R]``.
            visible: float32 ``[all or more, M, M]``, of the same faces.
            items: ``[N]``; None for all.

        Raises:
            ValueError: tensors that do not fit, or a number out of range.
        """
        texel, size_px = texel_of(masks), _side_px(masks)
        side_px = _side_px(visible)
        require(visible, "visible", visible.shape, np.dtype(np.float32))
        if visible.shape[0] < masks.shape[0]:
            raise ValueError(f"visible: must have room for {masks.shape[0]} faces")
        count = masks.shape[0] if items is None else np.size(np.asarray(items))
        numbers = item_numbers(items, count, masks.shape[0]).astype(np.int32)
        if not count:
            return
        (numbers_at,) = self._uploads.upload(numbers)
        self._launcher.launch(
            f"uncover_{texel}",
            grid_over(size_px, size_px, count, native.UNCOVER_BLOCK),
            native.UNCOVER_BLOCK,
            numbers_at,
            side_px,
            visible.address,
            size_px,
            masks.address,
        )


def _side_px(masks: DeviceTensor) -> int:
    shape = masks.shape
    if len(shape) != 3 or shape[1] != shape[2] or not 1 <= shape[2] <= LONGEST_SIDE_PX:
        raise ValueError(f"masks: must be [items, R, R], R 1 to {LONGEST_SIDE_PX}, not {shape}")
    return shape[2]
