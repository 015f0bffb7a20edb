"""Which faces of a batch are drawn, by whom, and where: the same on the CPU and on a device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from ..face.align import Affine, apply, crop_to_frame, invert
from ..face.faces_file import Face, FrameFaces
from ..face.mesh import yaw_deg
from ..frame import Timed
from .mask import YAW_FADE_DEG, MaskSettings
from .model import ModelMetadata

_FULL_PRESENCE = 0.8
_LEAST_PRESENCE = 0.5

AnyFrame = TypeVar("AnyFrame", bound=Timed)


@dataclass(frozen=True)
class Work(Generic[AnyFrame]):
    """A face that is to be drawn.

    Attributes:
        row: of its frame in the batch.
        column: of it among the frame's faces.
        frame: that shows it.
        shot: of the clip.
        face: where it is.
        placed: the network's input px to luma px.
        drawn_placed: its output px to luma px.
        yaw_deg: how far the face is turned, on the display; 0 where its landmarks do not tell.
        mask: of the conversion.
    """

    row: int
    column: int
    frame: AnyFrame
    shot: int
    face: Face
    placed: Affine
    drawn_placed: Affine
    yaw_deg: float
    mask: MaskSettings

    @property
    def order(self) -> tuple[int, int]:
        """In which faces are measured, and laid on each other, whoever draws them."""
        return self.row, self.column

    @property
    def share(self) -> float:
        """Weight of the new face where its mask is 1: a face that is hardly there, or turned away, fades."""
        there = (self.face.presence - _LEAST_PRESENCE) / (_FULL_PRESENCE - _LEAST_PRESENCE)
        turned = (self.mask.most_yaw_deg - abs(self.yaw_deg)) / YAW_FADE_DEG
        return min(max(there, 0.0), 1.0) * min(max(turned, 0.0), 1.0)

    def outline(self, size_px: int) -> NDArray[np.float32]:
        """What the mask is cut to, edges as of `mask.hull_edges`, in px of what is drawn.

        A face is drawn where both people have one: the new one must not spill over the old one's outline.

        Args:
            size_px: side of what is drawn.
        """
        return self.mask.outline(apply(invert(self.drawn_placed), self.face.landmarks), size_px)


class Cast:
    """Who is drawn by whom.

    Args:
        models: by track number or person's name as text; None draws all others.
        display: of `VideoInfo.display`.
        mask: what of a face is blended.
    """

    def __init__(
        self,
        models: Mapping[str | None, ModelMetadata],
        display: NDArray[np.float64],
        mask: MaskSettings,
    ) -> None:
        self._models = models
        self._display = display
        self._mask = mask

    def tracks_of(self, line: FrameFaces) -> list[int]:
        """Of the faces of a frame that somebody draws."""
        return [face.track for face in line.faces if self._drawn_by(face) in self._models]

    def work_of(self, batch: Sequence[tuple[AnyFrame, FrameFaces]]) -> dict[str | None, list[Work[AnyFrame]]]:
        """What each of those who draw has to do, in the order of the frames; nobody who has nothing.

        Raises:
            BadInputError: a face without the landmarks that the model is aligned by.
        """
        work: dict[str | None, list[Work[AnyFrame]]] = {}
        for row, (frame, line) in enumerate(batch):
            for column, face in enumerate(line.faces):
                whom = self._drawn_by(face)
                if whom in self._models:
                    metadata = self._models[whom]
                    placed = self._placed(metadata, frame, face)
                    scale = metadata.size_px / metadata.output_px
                    drawn_placed = placed * [scale, scale, 1.0]
                    turned = yaw_deg(face.landmarks @ self._display.T)
                    turned = turned if math.isfinite(turned) else 0.0
                    work.setdefault(whom, []).append(
                        Work(row, column, frame, line.shot, face, placed, drawn_placed, turned, self._mask)
                    )
        return work

    def _drawn_by(self, face: Face) -> str | None:
        names = (face.person, str(face.track))
        return next((name for name in names if name is not None and name in self._models), None)

    def _placed(self, metadata: ModelMetadata, frame: Timed, face: Face) -> Affine:
        try:
            return crop_to_frame(
                face.landmarks,
                size_px=metadata.size_px,
                coverage=metadata.coverage,
                template=metadata.template,
                display=self._display,
            )
        except ValueError as error:
            raise BadInputError(
                f"frame {frame.index}: no landmarks that the model can be aligned by ({error}): "
                "run crossface analyze again"
            ) from error
