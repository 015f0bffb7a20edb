"""What makes a face fit the plate, on a device: its skin, its sharpness, and the plate's noise.

The functions of the same matter in `kernels` document them. Nothing here waits for the device.

Never executed on a GPU; the tests carry out its launches on the CPU, from the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._native import device as native
from ..launcher import Launcher
from ..memory import DeviceFrame, DeviceTensor
from .arguments import grid_over, item_numbers, numbers, on_rows_of, require, side_px
from .constant import Constant
from .frame_records import FrameRecords
from .records import STATISTICS, crop_jobs, sharpen_jobs
from .scratch import Scratch
from .upload_ring import UploadRing

_FLOAT = np.dtype(np.float32)


class TextureKernels:
    """Kernels over faces ``[items, 3, R, R]`` and masks ``[items, R, R]``, all float32, on one lane.

    ``items`` tells for each face which item of the tensors it is: each its own; None for one after the
    other. Other items stay as they are.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._uploads = UploadRing(launcher)
        self._records = FrameRecords(launcher)
        self._zeros = Constant(launcher, 0)
        self._counts = Scratch(launcher)

    def skin(
        self,
        drawn: DeviceTensor,
        source: DeviceTensor,
        masks: DeviceTensor,
        of_drawn: DeviceTensor,
        of_source: DeviceTensor,
        spread: float,
        out: DeviceTensor,
        *,
        row_step: int = 1,
    ) -> None:
        """As `kernels.skin`, of all items.

        Args:
            drawn: faces.
            source: the same, as the frames show them.
            masks: where skin is looked for.
            of_drawn: ``[items]`` of ``records.STATISTICS``, under the masks.
            of_source: the same of ``source``.
            spread: that covariances are multiplied by.
            out: masks; another memory.
            row_step: rows between are 0.

        Raises:
            ValueError: tensors that do not fit, or a step below 1.
        """
        if row_step < 1:
            raise ValueError("row_step: must be at least 1")
        size_px, count = side_px(drawn, "drawn"), drawn.shape[0]
        for name, tensor in (("drawn", drawn), ("source", source)):
            require(tensor, name, (count, 3, size_px, size_px), _FLOAT)
        for name, tensor in (("masks", masks), ("out", out)):
            require(tensor, name, (count, size_px, size_px), _FLOAT)
        for name, tensor in (("of_drawn", of_drawn), ("of_source", of_source)):
            require(tensor, name, (count,), STATISTICS)
        if not count:
            return
        self._launcher.launch(
            "skin",
            (-(-size_px * size_px // native.SKIN_BLOCK[0]), count, 1),
            native.SKIN_BLOCK,
            drawn.address,
            source.address,
            masks.address,
            of_drawn.address,
            of_source.address,
            float(spread),
            size_px,
            row_step,
            out.address,
        )

    def details(
        self,
        drawn: DeviceTensor,
        source: DeviceTensor,
        taps: Sequence[NDArray[np.float32]],
        out: DeviceTensor,
        *,
        items: ArrayLike | None = None,
    ) -> None:
        """`kernels.detail` of either face, as the first two channels of a picture; the third is 0.

        Args:
            drawn: faces.
            source: the same, as the frames show them.
            taps: of each face's blur, float32 ``[2 r + 1]``, as of `kernels.detail`; both halves are alike.
            out: pictures; another memory.
            items: ``[N]``.

        Raises:
            ValueError: tensors or taps that do not fit, or a number out of range.
        """
        size_px, shape = side_px(drawn, "drawn"), drawn.shape
        for name, tensor in (("drawn", drawn), ("source", source), ("out", out)):
            require(tensor, name, shape, _FLOAT)
        jobs = sharpen_jobs(taps, np.zeros(len(taps)), item_numbers(items, len(taps), shape[0]))
        if len(jobs):
            (jobs_at,) = self._uploads.upload(jobs)
            self._launcher.launch(
                "details",
                grid_over(size_px, size_px, len(jobs), native.TEXTURE_BLOCK),
                native.TEXTURE_BLOCK,
                jobs_at,
                drawn.address,
                source.address,
                size_px,
                out.address,
            )

    def sharpen(
        self,
        faces: DeviceTensor,
        taps: Sequence[NDArray[np.float32]],
        amounts: NDArray[np.float64],
        out: DeviceTensor,
        *,
        items: ArrayLike | None = None,
    ) -> None:
        """As `kernels.sharpen`; an amount of 0 copies.

        Args:
            faces: as they are.
            taps: of each face's blur, as of `details`.
            amounts: ``[N]``, -1 and more.
            out: as they become; another memory.
            items: ``[N]``.

        Raises:
            ValueError: tensors, taps or amounts that do not fit, or a number out of range.
        """
        size_px, shape = side_px(faces, "faces"), faces.shape
        for name, tensor in (("faces", faces), ("out", out)):
            require(tensor, name, shape, _FLOAT)
        if len(amounts) != len(taps) or not (np.isfinite(amounts).all() and (amounts >= -1).all()):
            raise ValueError("amounts: must be finite, at least -1, and one for each face")
        jobs = sharpen_jobs(taps, amounts, item_numbers(items, len(taps), shape[0]))
        if len(jobs):
            (jobs_at,) = self._uploads.upload(jobs)
            self._launcher.launch(
                "sharpen",
                grid_over(size_px, size_px, len(jobs), native.TEXTURE_BLOCK),
                native.TEXTURE_BLOCK,
                jobs_at,
                faces.address,
                size_px,
                out.address,
            )

    def noise(
        self,
        frames: Sequence[DeviceFrame],
        frame_of: ArrayLike,
        matrices: NDArray[np.float64],
        skin: DeviceTensor,
        out: DeviceTensor,
        *,
        items: ArrayLike | None = None,
    ) -> None:
        """As `kernels.noise`.

        Args:
            frames: any.
            frame_of: ``[N]``, which of them each face is in.
            matrices: float64 ``[N, 2, 3]``, face coordinates to luma coordinates, px.
            skin: masks.
            out: float64 ``[items, 2]``.
            items: ``[N]``.

        Raises:
            ValueError: tensors that do not fit, a number out of range, or a matrix that is not finite or has
                no inverse.
        """
        room, size_px = skin.shape[0], skin.shape[-1]
        require(skin, "skin", (room, size_px, size_px), _FLOAT)
        require(out, "out", (room, 2), np.dtype(np.float64))
        chosen, numbered = numbers(frame_of, items, len(frames), len(matrices), room)
        placed = on_rows_of(frames, chosen, matrices)
        if not len(chosen):
            return
        jobs = crop_jobs(placed, chosen, numbered)
        counts_bytes = len(jobs) * native.NOISE_COUNTS_BYTES
        counts_at = self._counts.address(counts_bytes)
        self._zeros.upload(DeviceTensor(counts_at, (counts_bytes // 4,), np.dtype(np.int32)))
        frames_at, jobs_at = self._uploads.upload(self._records.of(frames), jobs)
        blocks = max(native.noise_blocks(frame.width) for frame in frames)
        self._launcher.launch(
            "noise_counts",
            (max(blocks, 1), len(jobs), 1),
            native.NOISE_BLOCK,
            frames_at,
            jobs_at,
            skin.address,
            size_px,
            counts_at,
        )
        self._launcher.launch(
            "noise_totals",
            (len(jobs), 1, 1),
            native.NOISE_TOTALS_BLOCK,
            jobs_at,
            counts_at,
            out.address,
        )
