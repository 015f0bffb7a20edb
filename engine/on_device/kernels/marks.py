"""The imperceptible marks of faces, made on a device; `kernels.mark` documents what they are.

Nothing here waits for the device.

Never executed on a GPU; the tests carry out its launches on the CPU, from the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._native import device as native
from ...provenance.mark.pattern import SIDE, chips
from ..launcher import Launcher
from ..memory import DeviceTensor
from .arguments import item_numbers, require, require_affines, side_px
from .records import mark_jobs
from .scratch import Scratch
from .upload_ring import UploadRing

_FLOAT = np.dtype(np.float32)


class MarkKernels:
    """The kernel that makes marks, on one lane.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._uploads = UploadRing(launcher)
        self._memory = Scratch(launcher)

    def make(
        self,
        faces: DeviceTensor,
        weights: DeviceTensor,
        lumas: NDArray[np.float64],
        mark_to_face: NDArray[np.float64],
        signs: NDArray[np.float32],
        out: DeviceTensor,
        *,
        items: ArrayLike | None = None,
    ) -> None:
        """As `kernels.mark`, of many faces.

        Args:
            faces: float32 ``[items, 3, R, R]``.
            weights: float32 ``[items, R, R]``, their share in their frames.
            lumas: float64 ``[N, 4]``.
            mark_to_face: float64 ``[N, 2, 3]``, chips to face px.
            signs: float32 ``[96, 20]``, 1 or -1, that the chips of `pattern.chips` are to have.
            out: float32 ``[items, 64, 64]``, for `DeviceKernels.blend`.
            items: ``[N]``, each its own; None for one after the other. Others stay as they are.

        Raises:
            ValueError: tensors or numbers that do not fit, or that are not finite.
        """
        size_px, room, count = side_px(faces, "faces"), faces.shape[0], len(mark_to_face)
        require(faces, "faces", faces.shape, _FLOAT)
        require(weights, "weights", (room, size_px, size_px), _FLOAT)
        require(out, "out", (room, SIDE, SIDE), _FLOAT)
        numbered = item_numbers(items, count, room)
        require_affines("mark_to_face", mark_to_face, count)
        if lumas.shape != (count, 4) or not np.isfinite(lumas).all():
            raise ValueError("lumas: must be finite, [N, 4]")
        if signs.shape != chips().shape or signs.dtype != _FLOAT:
            raise ValueError(f"signs: must be float32 {list(chips().shape)}")
        if not count:
            return
        jobs = mark_jobs(mark_to_face, lumas, numbered)
        jobs_at, chips_at, signs_at = self._uploads.upload(jobs, chips(), np.ascontiguousarray(signs))
        self._launcher.launch(
            "mark",
            (count, 1, 1),
            native.MARK_BLOCK,
            jobs_at,
            chips_at,
            signs_at,
            faces.address,
            weights.address,
            size_px,
            self._memory.address(count * native.MARK_MEMORY_BYTES),
            out.address,
        )
