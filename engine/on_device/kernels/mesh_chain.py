"""Faces followed through some frames on a device, the mesh network's crops aimed by its own last answers.

On the host a frame's crop waits for the landmarks of the frame before. Here what the network said stays where
it is, and a kernel makes the next crop of it: all frames of a window are given to the lane at once, and what
was found comes back together.

Which rows and columns of a large face are looked at is decided on the device too, face by face and frame by
frame: beside each crop's job lies a record of the frame, thinned out as `face.quick_crop` does it. So crops
are those of the host.

Never executed on a GPU; the tests carry out its launches on the CPU, from the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..._native import device as native
from ..launcher import Launcher
from ..memory import DeviceFrame, DeviceTensor
from .arguments import grid_over, require, require_affines, side_px, texel_of
from .frame_records import FrameRecords
from .records import AIM, CROP_JOB, FOLLOW_RULE, FOUND_MESH, FRAME, Records
from .upload_ring import UploadRing


@dataclass(frozen=True)
class FollowRule:
    """How a face's landmarks become its next crop; see `face.mesh.Aims`.

    Attributes:
        size_px: side of a crop.
        margin: side of a crop over the longer side of the landmarks' box, as shown.
        eyes: numbers of the landmarks, right eye and left eye, whose line lies level in a crop.
        least_presence: of a face that is there.
        least_span: samples that a pixel of a crop still spans when only some are looked at.
        display: float64 ``[2, 2]`` of `display_matrix`; None for square pixels shown unrotated.
    """

    size_px: int
    margin: float
    eyes: tuple[int, int]
    least_presence: float
    least_span: float
    display: NDArray[np.float64] | None = None

    def record(self) -> Records:
        """As the kernels are told, `records.FOLLOW_RULE`.

        Raises:
            ValueError: a display matrix without an inverse, or numbers that make no sense.
        """
        if not all(0 <= eye < native.MESH_POINTS for eye in self.eyes):
            raise ValueError(f"eyes: must be 0 to {native.MESH_POINTS - 1}")
        if not (self.size_px >= 1 and self.margin > 0 and self.least_span > 0):
            raise ValueError("size_px, margin, least_span: must be above 0")
        display = np.eye(2) if self.display is None else self.display
        try:
            undisplay = np.linalg.inv(display)
        except np.linalg.LinAlgError as error:
            raise ValueError("display: must be invertible") from error
        record = np.zeros(1, FOLLOW_RULE)
        record[0] = (
            display,
            undisplay,
            self.margin,
            self.least_presence,
            self.least_span,
            self.size_px,
            *self.eyes,
        )
        return record


def aims_at(regions: NDArray[np.float64]) -> Records:
    """Records of faces that are looked for in these regions, ``[N, 2, 3]``; see `MeshChain.begin`.

    Raises:
        ValueError: an affine that is not finite or has no inverse.
    """
    require_affines("regions", regions, len(regions))
    aims = np.zeros(len(regions), AIM)
    aims["crop_to_luma"] = regions
    return aims


class MeshChain:
    """Some faces, from frame to frame of a window: crop, the network, follow; crop, the network, follow...

    The network runs between on the same lane: it reads what `crop` filled, and `follow` reads what it said.

    Args:
        launcher: the lane.
        rule: how a face is followed.
        faces: the most of a window.
    """

    def __init__(self, launcher: Launcher, rule: FollowRule, faces: int) -> None:
        self._launcher = launcher
        self._size_px = rule.size_px
        self._rule = rule.record()
        self._most = faces
        self._records = FrameRecords(launcher)
        self._uploads = UploadRing(launcher)
        self._crop_frames_at = launcher.device_buffer(faces * FRAME.itemsize).address
        self._crops_at = launcher.device_buffer(faces * CROP_JOB.itemsize).address
        self._faces = self._frames = self._frame = 0
        self._frames_at = self._offsets_at = self._rule_at = self._aims_at = 0

    def begin(self, frames: Sequence[DeviceFrame], regions: NDArray[np.float64] | DeviceTensor) -> None:
        """Starts a window.

        Args:
            frames: those to come, in the order in which faces are followed, which may be backwards; at
                least one.
            regions: float64 ``[N, 2, 3]``, where the faces are in the first of them: crop px to luma px,
                shared coordinates. Or `records.AIM` ``[N]`` on the device, which at the window's end say
                where the faces are in the frame that follows: the next window goes on from there.

        Raises:
            ValueError: no frame, more faces than there is room for, or an affine that is not finite or has
                no inverse.
        """
        faces = regions.shape[0]
        if not frames or faces > self._most:
            raise ValueError(f"frames, regions: must be at least one frame and at most {self._most} faces")
        offsets = np.array([frame.row_offset for frame in frames])
        records = self._records.of(frames), offsets, self._rule
        if isinstance(regions, DeviceTensor):
            require(regions, "regions", (faces,), AIM)
            self._frames_at, self._offsets_at, self._rule_at = self._uploads.upload(*records)
            self._aims_at = regions.address
        else:
            self._frames_at, self._offsets_at, self._rule_at, self._aims_at = self._uploads.upload(
                *records, aims_at(regions)
            )
        self._faces, self._frames, self._frame = faces, len(frames), 0
        if self._faces:
            self._launcher.launch(
                "aim_crops",
                grid_over(self._faces, 1, 1, native.AIM_BLOCK),
                native.AIM_BLOCK,
                self._frames_at,
                self._offsets_at,
                self._rule_at,
                self._aims_at,
                self._faces,
                self._crop_frames_at,
                self._crops_at,
            )

    def crop(self, out: DeviceTensor) -> None:
        """Cuts all faces out of the frame that it is at.

        Args:
            out: ``[N or more, 3, size_px, size_px]``, float32 or float16, filled with RGB, nominally 0..1.

        Raises:
            ValueError: a tensor of another shape, or no frame is left.
        """
        self._require_frame()
        texel, size_px = texel_of(out), side_px(out, "out")
        if size_px != self._size_px or out.shape[0] < self._faces:
            raise ValueError(
                f"out: must be [{self._faces} or more, 3, {self._size_px}, {self._size_px}], not {out.shape}"
            )
        if self._faces:
            self._launcher.launch(
                f"crop_{texel}",
                grid_over(size_px, size_px, self._faces, native.CROP_BLOCK),
                native.CROP_BLOCK,
                self._crop_frames_at,
                self._crops_at,
                size_px,
                out.address,
            )

    def follow(self, points: DeviceTensor, presences: DeviceTensor, found: DeviceTensor) -> None:
        """Takes what the network found, and goes on to the next frame.

        Args:
            points: float32 ``[N or more, 468, 3]``: x and y in px of the crops, and a depth.
            presences: float32 ``[N or more, 1]``, 0..1.
            found: ``[N or more]`` of `records.FOUND_MESH`, filled: landmarks in luma px, presence, and
                whether the face was lost, here or in an earlier frame of the window: its presence is below
                the least one, or a landmark is no number. A lost face's crop stays where it was last seen.

        Raises:
            ValueError: tensors that do not fit, or no frame is left.
        """
        self._require_frame()
        items, single = points.shape[0], np.dtype(np.float32)
        require(points, "points", (items, native.MESH_POINTS, 3), single)
        require(presences, "presences", (items, 1), single)
        require(found, "found", (found.shape[0],), FOUND_MESH)
        if min(items, found.shape[0]) < self._faces:
            raise ValueError(f"points, found: must have room for {self._faces} faces")
        self._frame += 1
        more = self._frame < self._frames
        if self._faces:
            self._launcher.launch(
                "follow_faces",
                (self._faces, 1, 1),
                native.FOLLOW_BLOCK,
                self._frames_at + self._frame * FRAME.itemsize if more else 0,
                self._offsets_at + self._frame * 8 if more else 0,
                self._rule_at,
                points.address,
                presences.address,
                self._aims_at,
                found.address,
                self._crop_frames_at,
                self._crops_at,
            )

    def _require_frame(self) -> None:
        if self._frame >= self._frames:
            raise ValueError("no frame of the window is left: begin another one")
