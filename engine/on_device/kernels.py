"""The pixel kernels on a device: one launch for many faces of many frames.

They do what the functions of the same names in `kernels` do, which document them, within one code value.
Nothing here waits for the device: results are there when the lane has come that far.

Never executed on a GPU; the tests carry out its launches on the CPU, from the same bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._native import device as native
from ..device import DeviceBuffer
from ..frame import ColourDescription, Transfer
from ..kernels import native_colour
from .blend_order import in_launches
from .launcher import Dimensions, Launcher
from .memory import DeviceFrame, DeviceTensor
from .records import (
    STATISTICS,
    Curve,
    Records,
    blend_jobs,
    colour_record,
    crop_jobs,
    frame_records,
    resize_jobs,
)
from .upload_ring import UploadRing

_TEXELS = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
_LONGEST_SIDE_PX = 8192
_LEAST_SCALE, _GREATEST_SCALE = 1 / 256, 256.0


class DeviceKernels:
    """The four kernels on one lane.

    ``frame_of`` tells for each face which of ``frames`` it is in, ``items`` which item of the tensors it is:
    each its own; None for one after the other. Tensors of faces and masks are float32 or float16. Other
    items of a tensor stay as they are.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._uploads = UploadRing(launcher)
        self._colours: dict[ColourDescription, bytes] = {}
        self._curves: dict[Transfer, Curve] = {}
        self._zeros = np.empty(0, np.uint8)
        self._sums_buffer: DeviceBuffer | None = None

    def resize(
        self, frames: Sequence[DeviceFrame], out: DeviceTensor, *, pixel_aspect: float = 1.0
    ) -> NDArray[np.float64]:
        """Scales frame i into the top-left corner of the black picture ``out[i]``.

        Args:
            frames: any, also of different sizes.
            out: ``[items, 3, height, width]``, filled with RGB, nominally 0..1.
            pixel_aspect: width of a sample over its height, as it is shown.

        Returns:
            float64 ``[frames]``, the scales of rows: ``y = scale * luma y``; ``x = scale * pixel_aspect *
            luma x``.

        Raises:
            ValueError: a tensor of another shape, or a scale beyond 1/256 to 256.
        """
        texel = _texel(out)
        if len(out.shape) != 4 or out.shape[0] < len(frames) or out.shape[1] != 3:
            raise ValueError(f"out: must be [{len(frames)} or more, 3, height, width], not {out.shape}")
        height, width = out.shape[2:]
        if not 1 <= min(width, height) <= max(width, height) <= _LONGEST_SIDE_PX:
            raise ValueError(f"size: must be 1 to {_LONGEST_SIDE_PX}")
        scales = np.array([min(width / (f.width * pixel_aspect), height / f.height) for f in frames])
        both = np.column_stack([scales * pixel_aspect, scales])
        if not np.all((both >= _LEAST_SCALE) & (both <= _GREATEST_SCALE)):
            raise ValueError("scale: must be 1/256 to 256")
        if len(frames):
            frames_at, jobs_at = self._uploads.upload(self._records(frames), resize_jobs(both))
            self._launcher.launch(
                f"resize_{texel}",
                _grid(width, height, len(frames), native.RESIZE_BLOCK),
                native.RESIZE_BLOCK,
                frames_at,
                jobs_at,
                width,
                height,
                out.address,
            )
        return scales

    def crop(
        self,
        frames: Sequence[DeviceFrame],
        frame_of: ArrayLike,
        matrices: NDArray[np.float64],
        out: DeviceTensor,
        *,
        items: ArrayLike | None = None,
    ) -> None:
        """Cuts aligned square pictures out of frames.

        Args:
            frames: any.
            frame_of: ``[N]``.
            matrices: float64 ``[N, 2, 3]``, crop coordinates to luma coordinates, px.
            out: ``[items, 3, size, size]``, whose ``items`` are filled with RGB, nominally 0..1.
            items: ``[N]``.

        Raises:
            ValueError: a tensor of another shape, a number out of range, or a matrix that is not finite or
                has no inverse.
        """
        texel, size_px = _texel(out), _side_px(out, "out")
        chosen, numbers = _numbers(frame_of, items, len(frames), len(matrices), out.shape[0])
        placed = _on_rows_of(frames, chosen, matrices)
        if not len(chosen):
            return
        jobs = crop_jobs(placed, chosen, numbers)
        frames_at, jobs_at = self._uploads.upload(self._records(frames), jobs)
        self._launcher.launch(
            f"crop_{texel}",
            _grid(size_px, size_px, len(jobs), native.CROP_BLOCK),
            native.CROP_BLOCK,
            frames_at,
            jobs_at,
            size_px,
            out.address,
        )

    def stats(self, images: DeviceTensor, masks: DeviceTensor, out: DeviceTensor) -> None:
        """Mean and covariance of colours under masks, of all items.

        Args:
            images: ``[items, 3, R, R]``.
            masks: ``[items, R, R]`` of the same type, weights of 0 and more.
            out: ``[items]`` of ``records.STATISTICS``, 104 bytes each; all 0 where the mask is.

        Raises:
            ValueError: tensors that do not fit.
        """
        texel, size_px, count = _texel(images), _side_px(images, "images"), images.shape[0]
        _require(masks, "masks", (count, size_px, size_px), images.dtype)
        _require(out, "out", (count,), STATISTICS)
        if not count:
            return
        pixels = size_px * size_px
        parts = native.stats_parts(pixels)
        sums_at = self._sums(count * parts * native.COLOUR_SUMS_BYTES)
        self._launcher.launch(
            f"stats_parts_{texel}",
            (parts, count, 1),
            native.STATS_PARTS_BLOCK,
            images.address,
            masks.address,
            pixels,
            sums_at,
        )
        self._launcher.launch(
            "stats_totals",
            (count, 1, 1),
            native.STATS_TOTALS_BLOCK,
            sums_at,
            parts,
            out.address,
        )

    def blend(
        self,
        frames: Sequence[DeviceFrame],
        frame_of: ArrayLike,
        matrices: NDArray[np.float64],
        faces: DeviceTensor,
        masks: DeviceTensor,
        colours: NDArray[np.float64],
        touched: DeviceTensor,
        *,
        items: ArrayLike | None = None,
    ) -> None:
        """Lays faces over frames, in place. Faces of one frame lie as if one came after the other.

        Args:
            frames: their planes are changed; no two may share memory.
            frame_of: ``[N]``.
            matrices: float64 ``[N, 2, 3]``, face coordinates to luma coordinates, px.
            faces: RGB ``[items, 3, R, R]``, nominally 0..1; not clamped.
            masks: ``[items, R, R]`` of the same type, in 0..1, the faces' share.
            colours: float64 ``[N, 3, 4]``; a face pixel becomes ``colour @ [r, g, b, 1]``.
            touched: int32 ``[items]``: becomes 1 where the frame shows something of the face, else 0.
            items: ``[N]``.

        Raises:
            ValueError: tensors that do not fit, a number out of range, a colour that is not finite, or a
                matrix that is not finite or has no inverse.
        """
        texel, size_px = _texel(faces), _side_px(faces, "faces")
        _require(masks, "masks", (faces.shape[0], size_px, size_px), faces.dtype)
        _require(touched, "touched", (faces.shape[0],), np.dtype(np.int32))
        chosen, numbers = _numbers(frame_of, items, len(frames), len(matrices), faces.shape[0])
        placed = _on_rows_of(frames, chosen, matrices)
        if colours.shape != (len(chosen), 3, 4) or not np.isfinite(colours).all():
            raise ValueError("colours: must be finite, [N, 3, 4]")
        self._clear(touched)
        sizes_px = np.array([(frame.width, frame.height) for frame in frames]).reshape(-1, 2)
        jobs = blend_jobs(placed, chosen, numbers, colours, size_px, sizes_px[chosen])
        if not len(jobs):
            return
        fades = np.array([_fades(frame.colour) for frame in frames])
        jobs, launches = in_launches(jobs, fades[jobs["frame"]])
        frames_at, jobs_at = self._uploads.upload(self._records(frames), jobs)
        for launch in launches:
            self._launcher.launch(
                f"blend_{texel}",
                (launch.tiles, launch.count, 1),
                native.BLEND_BLOCK,
                frames_at,
                jobs_at + launch.first * jobs.itemsize,
                faces.address,
                masks.address,
                size_px,
                launch.planes,
                touched.address,
            )

    def _records(self, frames: Sequence[DeviceFrame]) -> Records:
        for frame in frames:
            colour = frame.colour
            if colour not in self._colours:
                self._colours[colour] = colour_record(colour, self._curve(colour.transfer))
        return frame_records(frames, self._colours)

    def _curve(self, transfer: Transfer) -> Curve:
        """Uploads its tables when it is first asked for."""
        found = native.curve(int(transfer))
        if found is None:
            return Curve()
        if transfer not in self._curves:
            to_display, to_signal, cells_per_display, fade_begin, fade_end = found
            tables = self._launcher.pinned(len(to_display) + len(to_signal), np.uint8)
            tables[:] = np.frombuffer(to_display + to_signal, np.uint8)
            buffer = self._launcher.device_buffer(tables.nbytes)
            self._launcher.upload(buffer, tables)
            self._curves[transfer] = Curve(
                buffer.address, buffer.address + len(to_display), cells_per_display, fade_begin, fade_end
            )
        return self._curves[transfer]

    def _clear(self, tensor: DeviceTensor) -> None:
        if self._zeros.nbytes < tensor.bytes:
            self._zeros = self._launcher.pinned(tensor.bytes, np.uint8)
            self._zeros[:] = 0
        if tensor.bytes:
            self._launcher.upload(DeviceBuffer(tensor.address, tensor.bytes), self._zeros[: tensor.bytes])

    def _sums(self, bytes: int) -> int:
        """The address of memory between the two launches of `stats`."""
        if self._sums_buffer is None or self._sums_buffer.bytes < bytes:
            self._sums_buffer = self._launcher.device_buffer(bytes)
        return self._sums_buffer.address


@functools.cache
def _fades(colour: ColourDescription) -> bool:
    """Whether highlights do, and chroma is subsampled."""
    return native.blend_launches(native_colour(colour)) == 2


def _texel(tensor: DeviceTensor) -> str:
    if tensor.dtype not in _TEXELS:
        raise ValueError(f"tensors: must be float32 or float16, not {tensor.dtype}")
    return _TEXELS[tensor.dtype]


def _side_px(tensor: DeviceTensor, name: str) -> int:
    """Of a batch of square pictures."""
    shape = tensor.shape
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3] or not 1 <= shape[3] <= _LONGEST_SIDE_PX:
        raise ValueError(f"{name}: must be [items, 3, size, size], size 1 to {_LONGEST_SIDE_PX}, not {shape}")
    return shape[3]


def _require(tensor: DeviceTensor, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if tensor.shape != shape or tensor.dtype != dtype:
        raise ValueError(f"{name}: must be {dtype} {list(shape)}, not {tensor.dtype} {list(tensor.shape)}")


def _numbers(
    frame_of: ArrayLike, items: ArrayLike | None, frames: int, faces: int, room: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """``frame_of`` and ``items``: a wrong one would have the device write anywhere."""
    chosen = np.asarray(frame_of, np.intp).reshape(-1)
    numbers = np.arange(faces) if items is None else np.asarray(items, np.intp).reshape(-1)
    if not len(chosen) == len(numbers) == faces:
        raise ValueError(f"frame_of, items: must be one for each of the {faces} matrices")
    for name, values, limit in (("frame_of", chosen, frames), ("items", numbers, room)):
        if faces and not (values.min() >= 0 and values.max() < limit):
            raise ValueError(f"{name}: must be 0 to {limit - 1}")
    if len(np.unique(numbers)) < faces:
        raise ValueError("items: must differ")
    return chosen, numbers


def _on_rows_of(
    frames: Sequence[DeviceFrame], chosen: NDArray[np.intp], matrices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Affines that end in shared coordinates, for the rows of their very fields."""
    placed = np.array(matrices, np.float64)
    if placed.shape != (len(chosen), 2, 3) or not np.isfinite(placed).all():
        raise ValueError("matrices: must be finite, [N, 2, 3]")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        invertible = np.isfinite(1.0 / np.linalg.det(placed[:, :, :2]))
    if not invertible.all():
        raise ValueError("matrices: must be invertible")
    placed[:, 1, 2] -= np.array([frame.row_offset for frame in frames])[chosen]
    return placed


def _grid(width: int, height: int, count: int, block: Dimensions) -> Dimensions:
    return -(-width // block[0]), -(-height // block[1]), count
