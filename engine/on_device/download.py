"""Frames on their way back from a device, to an encoder of the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from .._native import device as native
from ..device import DeviceBuffer
from ..frame import Frame
from ..video.planes import planes_of
from .frame import Arriving, LaneFrame
from .kernels.records import boxes
from .launcher import Launcher
from .memory import DeviceFrame, DevicePlane
from .staging import StagingPool, address_range, bytes_of, host_bytes, host_plane, some_rows, stretches
from .upload import MOST_FRAMES


class Downloader:
    """Brings frames back through pinned memory, while the device works on.

    Args:
        launcher: the lane that does the copies, and that has changed the frames.
        most: frames of a decoder on the device that may be on their way at a time.
    """

    def __init__(self, launcher: Launcher, *, most: int = MOST_FRAMES) -> None:
        self._launcher = launcher
        self._pool = StagingPool(launcher, on_device=False, most=most)

    def fetch(self, frame: LaneFrame, rows: tuple[int, int] | None = None) -> None:
        """Starts the copy of what has been changed, in turn; call it before an event that `land` waits for.

        Args:
            frame: of an `Uploader`, or of a decoder on the device, which is copied whole.
            rows: luma rows of it that faces touch, as `touched_rows` tells them; all if None.
        """
        if frame.host is None:
            self._fetch_whole(frame)
            return
        assert frame.staging is not None, "the frame was given back"
        top, bottom = rows or (0, frame.height)
        if top >= bottom:
            return
        for begin, bytes, host_begin in _changed(frame.planes, frame.host, top, bottom):
            offset = begin - frame.staging.address
            staged = frame.staging.pinned[offset : offset + bytes]
            self._launcher.download(staged, DeviceBuffer(begin, bytes))
            frame.arriving += (Arriving(staged, host_begin),)
        frame.staging.copied = self._launcher.record()

    def land(self, frame: LaneFrame) -> Frame:
        """The frame in the host's memory; gives its memory on the device back.

        The device must have come past an event that was recorded after `fetch`. Nothing that was launched
        later may change the frame.

        Returns:
            The frame that was uploaded, whose planes now hold what was fetched; or a new one with the
            samples, times and colour tags of the decoder's, and its captions where it may have some.
        """
        if frame.host is None:
            return self._landed(frame)
        for part in frame.arriving:
            np.copyto(host_bytes(part.address, part.pinned.nbytes), part.pinned)
        frame.arriving = ()
        if frame.staging is not None:
            frame.staging.release()
            frame.staging = None
        return frame.host

    def _fetch_whole(self, frame: LaneFrame) -> None:
        if frame.copied is not None or frame.staging is not None:
            return
        sample_bytes = frame.colour.sample_bytes
        parts = stretches(address_range(plane, sample_bytes) for plane in _luma_and_pairs(frame))
        frame.staging = self._pool.lend(bytes_of(parts))
        for part in parts:
            staged = frame.staging.pinned[part.offset : part.offset + part.bytes]
            self._launcher.download(staged, DeviceBuffer(part.begin, part.bytes))
            frame.arriving += (Arriving(staged, part.begin),)
        frame.staging.copied = self._launcher.record()

    def _landed(self, frame: LaneFrame) -> Frame:
        source = frame.source
        assert source is not None and source.sw_format is not None
        if frame.copied is not None:
            picture = frame.copied()
        else:
            assert frame.staging is not None, "fetch comes first"
            picture = av.VideoFrame(frame.width, frame.height, source.sw_format.name)
            picture.color_primaries, picture.color_trc = source.color_primaries, source.color_trc
            picture.colorspace, picture.color_range = source.colorspace, source.color_range
            _fill(picture, frame)
            frame.staging.release()
            frame.staging, frame.arriving = None, ()
        picture.pts, picture.duration, picture.time_base = frame.pts, frame.duration, frame.time_base
        return Frame(
            frame.index,
            frame.pts,
            frame.duration,
            frame.time_base,
            planes_of(picture),
            frame.colour,
            picture,
        )


def touched_rows(frame: LaneFrame, matrices: NDArray[np.float64], size_px: int) -> tuple[int, int]:
    """The first row of a frame that faces may change, and the first one below them; equal where none is.

    Args:
        frame: where they are laid.
        matrices: float64 ``[N, 2, 3]``, face coordinates to luma coordinates, px.
        size_px: side of the faces.
    """
    if not len(matrices):
        return 0, 0
    placed = np.array(matrices, np.float64)
    placed[:, 1, 2] -= frame.row_offset
    found = boxes(placed, size_px, np.tile([frame.width, frame.height], (len(placed), 1)))
    seen = found[(found[:, :2] < found[:, 2:]).all(1)]
    return (int(seen[:, 1].min()), int(seen[:, 3].max())) if len(seen) else (0, 0)


def _changed(frame: DeviceFrame, host: Frame, top: int, bottom: int) -> Iterator[tuple[int, int, int]]:
    """Address and size of what luma rows change in memory, and its address on the host."""
    shift = frame.colour.chroma_shift_y
    ranges: list[tuple[int, int]] = []
    to_host: dict[int, int] = {}
    for number, (plane, view) in enumerate(zip(frame.planes, host.planes, strict=True)):
        first, end = top, bottom
        if number:
            # Chroma of a row beside the box may weigh in a row of it.
            first = max(0, top - native.BLEND_HALO_PX) >> shift
            end = min(plane.height, -(-(bottom + native.BLEND_HALO_PX) >> shift))
        changed = address_range(some_rows(plane, first, end), frame.colour.sample_bytes)
        ranges.append(changed)
        to_host[changed[0]] = host_plane(view).address - plane.address
    for part in stretches(ranges):
        yield part.begin, part.bytes, part.begin + to_host[part.begin]


def _luma_and_pairs(frame: LaneFrame) -> tuple[DevicePlane, DevicePlane]:
    """The planes of nv12 and p010 as they lie in memory."""
    luma, chroma, _ = frame.planes.planes
    return luma, chroma._replace(width=2 * chroma.width, step=1)


def _fill(picture: av.VideoFrame, frame: LaneFrame) -> None:
    """Copies what has arrived, cut to the picture's columns."""
    for target, plane in zip(picture.planes, _luma_and_pairs(frame), strict=True):
        row_bytes = plane.width * frame.colour.sample_bytes
        starts = ((part, plane.address - part.address) for part in frame.arriving)
        arriving, start = next((part, n) for part, n in starts if 0 <= n < part.pinned.nbytes)
        rows = np.lib.stride_tricks.as_strided(
            arriving.pinned[start:], (plane.height, row_bytes), (plane.pitch_bytes, 1)
        )
        # PyAV's stubs do not declare the buffer protocol that its planes have.
        samples: NDArray[np.uint8] = np.frombuffer(target, np.uint8)  # type: ignore[call-overload]
        np.copyto(samples.reshape(-1, target.line_size)[: plane.height, :row_bytes], rows)
