"""The pixel kernels on a device: one launch for many faces of many frames.

They do what the functions of the same names in `kernels` do, which document them, within one code value.
Nothing here waits for the device: results are there when the lane has come that far.

Never executed on a GPU; the tests carry out its launches on the CPU, from the same bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..._native import device as native
from ...frame import ColourDescription
from ...kernels import NO_GRAIN, Grain, native_colour
from ...provenance.mark.pattern import SIDE
from ..launcher import Launcher
from ..memory import DeviceFrame, DeviceTensor
from .arguments import LONGEST_SIDE_PX, grid_over, numbers, on_rows_of, require, side_px, texel_of
from .blend_order import in_launches
from .constant import Constant
from .frame_records import FrameRecords
from .records import STATISTICS, blend_jobs, crop_jobs, resize_jobs
from .scratch import Scratch
from .upload_ring import UploadRing

_LEAST_SCALE, _GREATEST_SCALE = 1 / 256, 256.0


class DeviceKernels:
    """The kernels over frames, and `stats`, on one lane.

    ``frame_of`` tells for each face which of ``frames`` it is in, ``items`` which item of the tensors it is:
    each its own; None for one after the other. Tensors of faces and masks are float32 or float16. Other
    items of a tensor stay as they are.

    Args:
        launcher: the lane.
    """

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._uploads = UploadRing(launcher)
        self._records = FrameRecords(launcher)
        self._zeros = Constant(launcher, 0)
        self._sums = Scratch(launcher)

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
        texel = texel_of(out)
        if len(out.shape) != 4 or out.shape[0] < len(frames) or out.shape[1] != 3:
            raise ValueError(f"out: must be [{len(frames)} or more, 3, height, width], not {out.shape}")
        height, width = out.shape[2:]
        if not 1 <= min(width, height) <= max(width, height) <= LONGEST_SIDE_PX:
            raise ValueError(f"size: must be 1 to {LONGEST_SIDE_PX}")
        scales = np.array([min(width / (f.width * pixel_aspect), height / f.height) for f in frames])
        both = np.column_stack([scales * pixel_aspect, scales])
        if not np.all((both >= _LEAST_SCALE) & (both <= _GREATEST_SCALE)):
            raise ValueError("scale: must be 1/256 to 256")
        if len(frames):
            frames_at, jobs_at = self._uploads.upload(self._records.of(frames), resize_jobs(both))
            self._launcher.launch(
                f"resize_{texel}",
                grid_over(width, height, len(frames), native.RESIZE_BLOCK),
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
        texel, size_px = texel_of(out), side_px(out, "out")
        chosen, numbered = numbers(frame_of, items, len(frames), len(matrices), out.shape[0])
        placed = on_rows_of(frames, chosen, matrices)
        if not len(chosen):
            return
        jobs = crop_jobs(placed, chosen, numbered)
        frames_at, jobs_at = self._uploads.upload(self._records.of(frames), jobs)
        self._launcher.launch(
            f"crop_{texel}",
            grid_over(size_px, size_px, len(jobs), native.CROP_BLOCK),
            native.CROP_BLOCK,
            frames_at,
            jobs_at,
            size_px,
            out.address,
        )

    def thumbnails(self, frames: Sequence[DeviceFrame], out: DeviceTensor) -> None:
        """The luma planes in small, as `face.cuts.thumbnail`.

        Args:
            frames: any, also of different sizes.
            out: float32 ``[frames or more, 18, 32]``, 0..1.

        Raises:
            ValueError: a tensor of another shape.
        """
        columns, rows, _ = native.THUMBNAIL_BLOCK
        require(out, "out", (out.shape[0], rows, columns), np.dtype(np.float32))
        if out.shape[0] < len(frames):
            raise ValueError(f"out: must have room for {len(frames)} frames")
        if len(frames):
            (frames_at,) = self._uploads.upload(self._records.of(frames))
            self._launcher.launch(
                "thumbnails", (len(frames), 1, 1), native.THUMBNAIL_BLOCK, frames_at, out.address
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
        texel, size_px, count = texel_of(images), side_px(images, "images"), images.shape[0]
        require(masks, "masks", (count, size_px, size_px), images.dtype)
        require(out, "out", (count,), STATISTICS)
        if not count:
            return
        pixels = size_px * size_px
        parts = native.stats_parts(pixels)
        sums_at = self._sums.address(count * parts * native.COLOUR_SUMS_BYTES)
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
        grains: Sequence[Grain] | None = None,
        marks: tuple[DeviceTensor, NDArray[np.float64]] | None = None,
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
            grains: ``[N]``, as of `kernels.blend`; None for none.
            marks: of `MarkKernels.make`, and float64 ``[N, 2, 3]`` that take their chips to luma px.
            items: ``[N]``.

        Raises:
            ValueError: tensors that do not fit, a number out of range, a colour that is not finite, or a
                matrix that is not finite or has no inverse.
        """
        texel, size_px = texel_of(faces), side_px(faces, "faces")
        require(masks, "masks", (faces.shape[0], size_px, size_px), faces.dtype)
        require(touched, "touched", (faces.shape[0],), np.dtype(np.int32))
        chosen, numbered = numbers(frame_of, items, len(frames), len(matrices), faces.shape[0])
        placed = on_rows_of(frames, chosen, matrices)
        if colours.shape != (len(chosen), 3, 4) or not np.isfinite(colours).all():
            raise ValueError("colours: must be finite, [N, 3, 4]")
        self._zeros.upload(touched)
        sizes_px = np.array([(frame.width, frame.height) for frame in frames]).reshape(-1, 2)
        grains = [NO_GRAIN] * len(chosen) if grains is None else grains
        if len(grains) != len(chosen):
            raise ValueError("grains: must be one for each face")
        marks_at, marks_to_luma = 0, None
        if marks is not None:
            require(marks[0], "marks", (faces.shape[0], SIDE, SIDE), np.dtype(np.float32))
            marks_at, marks_to_luma = marks[0].address, on_rows_of(frames, chosen, marks[1])
        jobs = blend_jobs(placed, chosen, numbered, colours, grains, marks_to_luma, size_px, sizes_px[chosen])
        if not len(jobs):
            return
        fades = np.array([_fades(frame.colour) for frame in frames])
        jobs, launches = in_launches(jobs, fades[jobs["frame"]])
        frames_at, jobs_at = self._uploads.upload(self._records.of(frames), jobs)
        for launch in launches:
            self._launcher.launch(
                f"blend_{texel}",
                (launch.tiles, launch.count, 1),
                native.BLEND_BLOCK,
                frames_at,
                jobs_at + launch.first * jobs.itemsize,
                faces.address,
                masks.address,
                marks_at,
                size_px,
                launch.planes,
                touched.address,
            )


@functools.cache
def _fades(colour: ColourDescription) -> bool:
    """Whether highlights do, and chroma is subsampled."""
    return native.blend_launches(native_colour(colour)) == 2
