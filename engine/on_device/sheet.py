"""The faces of one batch on a device, and what the host learns of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..provenance.mark.pattern import SIDE
from ..swap.occlusion import SIZE_PX as OCCLUSION_PX
from .kernels.records import STATISTICS
from .place import DeviceLane
from .tensors import buffer_of, new_tensor


@dataclass(frozen=True)
class Found:
    """What is told of each face: tensors, or arrays of the host.

    Attributes:
        finite: int32 ``[room]``: whether all that was drawn are numbers.
        whole_drawn: ``STATISTICS`` ``[room]``, of the faces as they are drawn.
        whole_source: the same, of the frames.
        drawn: as ``whole_drawn``, of skin alone; not filled where none is sought.
        source: the same, of the frames.
        areas: float64 ``[room]``, means of the weights before they were faded.
        details: ``STATISTICS`` ``[room]``, of `TextureKernels.details`.
        wide_details: the same with the wider blur.
        noise: float64 ``[room, 2]``, of `TextureKernels.noise`.
        covered: float32 ``[room]``, of `swap.occlusion.Seen`.
    """

    finite: Any
    whole_drawn: Any
    whole_source: Any
    drawn: Any
    source: Any
    areas: Any
    details: Any
    wide_details: Any
    noise: Any
    covered: Any

    def all(self, *, textured: bool) -> tuple[Any, ...]:
        """Those that are asked for."""
        always = (self.finite, self.whole_drawn, self.whole_source, self.drawn, self.source, self.areas)
        textures = (self.details, self.wide_details, self.noise) if textured else ()
        return (*always, self.covered, *textures)


class Sheet:
    """Tensors for so many faces, all in float32, whatever the network computes in.

    Args:
        lane: whose memory it is.
        room: for how many.
        size_px: side of the network's input, S.
        output_px: side of what it draws, R.

    Attributes:
        room: as given.
        count: of the faces that are on it.
        crops: ``[room, 3, S, S]``, as the frames show them.
        sources: ``[room, 3, R, R]``, the same in the size that is drawn; ``crops`` where that is one.
        faces: ``[room, 3, R, R]``, as they are drawn.
        masks: ``[room, R, R]``.
        inside: ``[room, R, R]``, where skin is looked for.
        skin: ``[room, R, R]``, where colours are measured.
        finished: ``[room, 3, R, R]``, the faces' details while they are measured, then the sharpened faces;
            a second pass goes back to ``faces``.
        weights: ``[room, R, R]``, of what is blended.
        marks: ``[room, 64, 64]``, of `MarkKernels.make`.
        visible: ``[room, M, M]``, of `swap.occlusion.Seen`; once `uncover` is called, of `Match`.
        maps: the same on the host.
        touched: int32 ``[room]``, of `DeviceKernels.blend`.
        on_device: what is found out, tensors.
        found: the same on the host, once `fetch` is over.
    """

    def __init__(self, lane: DeviceLane, room: int, size_px: int, output_px: int) -> None:
        self._lane = lane
        pictures, masks = (room, 3, output_px, output_px), (room, output_px, output_px)
        self.room, self.count = room, 0
        self.crops = new_tensor(lane, (room, 3, size_px, size_px), np.float32)
        self.sources = self.crops if size_px == output_px else new_tensor(lane, pictures, np.float32)
        self.faces = new_tensor(lane, pictures, np.float32)
        self.masks = new_tensor(lane, masks, np.float32)
        self.inside = new_tensor(lane, masks, np.float32)
        self.skin = new_tensor(lane, masks, np.float32)
        self.finished = new_tensor(lane, pictures, np.float32)
        self.weights = new_tensor(lane, masks, np.float32)
        self.marks = new_tensor(lane, (room, SIDE, SIDE), np.float32)
        self.visible = new_tensor(lane, (room, OCCLUSION_PX, OCCLUSION_PX), np.float32)
        self.maps = lane.pinned((room, OCCLUSION_PX, OCCLUSION_PX), np.float32)
        self.touched = new_tensor(lane, (room,), np.int32)
        flag, area, share = np.dtype(np.int32), np.dtype(np.float64), np.dtype(np.float32)
        kinds = [flag, *[STATISTICS] * 4, area, *[STATISTICS] * 2, np.dtype((np.float64, 2)), share]
        self.on_device = Found(*(new_tensor(lane, *_shaped(room, kind)) for kind in kinds))
        self.found = Found(*(lane.pinned(*_shaped(room, kind)) for kind in kinds))
        self._touched: list[NDArray[np.int32]] = []

    def fetch(self, *, textured: bool, covered: bool) -> None:
        """Starts the copies of what is found out."""
        both = (each.all(textured=textured) for each in (self.on_device, self.found))
        for tensor, array in zip(*both, strict=True):
            self._lane.download(array[: self.count], buffer_of(tensor.part(0, self.count)))
        if covered:
            self._lane.download(self.maps[: self.count], buffer_of(self.visible.part(0, self.count)))

    def give_maps(self) -> None:
        """Starts the way back of ``maps``, which the host has changed."""
        self._lane.upload(buffer_of(self.visible.part(0, self.count)), self.maps[: self.count])

    def fetch_touched(self, number: int) -> NDArray[np.int32]:
        """Starts a copy of ``touched`` as it is now; ``number`` tells apart the copies of one batch."""
        while len(self._touched) <= number:
            self._touched.append(self._lane.pinned(self.room, np.int32))
        self._lane.download(self._touched[number], buffer_of(self.touched))
        return self._touched[number]


def _shaped(room: int, kind: np.dtype[Any]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Of an array of so many, a kind's own shape among its axes."""
    return (room, *kind.shape), kind.base
