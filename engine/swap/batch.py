"""Swaps the faces of a batch of frames, in place in the decoder's planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..compositing import CompositorOutputs
from ..errors import BadInputError
from ..face.align import Affine, apply, crop_to_frame, invert
from ..face.faces_file import Face, FrameFaces
from ..frame import Frame
from .colour_match import Method, Statistics, SteadyMatch
from .mask import MaskSettings, hull, soften
from .model import Swapper

_FULL_PRESENCE = 0.8
_LEAST_PRESENCE = 0.5
# Colours are measured well inside the outline, clear of hair and background.
_SKIN = MaskSettings(feather=0.2)


@dataclass(frozen=True)
class _Drawn:
    """A face as the network drew it, and where it goes; all pictures of one size."""

    frame: Frame
    shot: int
    face: Face
    placed: Affine
    source: NDArray[np.float32]
    drawn: NDArray[np.float32]
    mask: NDArray[np.float32]


class BatchSwapper:
    """Crops, draws, matches and blends.

    Args:
        swapper: draws the faces.
        display: of `VideoInfo.display`.
        colour: how a face takes the shot's colours.
        mask: the edge of what is blended.
        outputs: for compositors; they are told of every face.

    Attributes:
        faces: how many were blended so far.
    """

    def __init__(
        self,
        swapper: Swapper,
        display: NDArray[np.float64],
        *,
        colour: Method,
        mask: MaskSettings,
        outputs: CompositorOutputs | None = None,
    ) -> None:
        self.faces = 0
        self._swapper = swapper
        self._display = display
        self._mask = mask
        self._colours = SteadyMatch(colour)
        self._outputs = outputs

    def process(self, batch: list[tuple[Frame, FrameFaces]]) -> list[str]:
        """Changes the frames' planes; gives warnings.

        Raises:
            BadInputError: a face without the landmarks that the model is aligned by.
        """
        work = [
            (frame, line.shot, face, self._placed(frame, face))
            for frame, line in batch
            for face in line.faces
        ]
        if not work:
            return []
        size_px, output_px = self._swapper.metadata.size_px, self._swapper.metadata.output_px
        crops = np.empty((len(work), 3, size_px, size_px), np.float32)
        for crop, (frame, _, _, placed) in zip(crops, work, strict=True):
            kernels.crop(frame, placed[None], size_px, crop[None])
        drawn, masks = self._swapper.swap(crops)
        warnings = []
        for n, (frame, shot, face, placed) in enumerate(work):
            if not (np.isfinite(drawn[n]).all() and np.isfinite(masks[n]).all()):
                warnings.append(f"frame {frame.index}: the network gave no number; the face stays as it was")
                continue
            placed = placed * [size_px / output_px, size_px / output_px, 1.0]
            source = crops[n] if size_px == output_px else kernels.crop(frame, placed[None], output_px)[0]
            # Drawn where both people have a face: the new one must not spill over the old one's outline.
            outline = hull(apply(invert(placed), face.landmarks), output_px)
            self._blend(_Drawn(frame, shot, face, placed, source, drawn[n], masks[n] * outline))
        return warnings

    def _blend(self, work: _Drawn) -> None:
        weight = soften(work.mask, self._mask)
        skin = soften(work.mask, _SKIN)
        mean, covariance, area = kernels.stats(work.drawn, skin)
        if area <= 0:
            return
        colour = self._colours.update(
            work.shot,
            work.face.track,
            Statistics(mean, covariance),
            Statistics(*kernels.stats(work.source, skin)[:2]),
        )
        fade = (work.face.presence - _LEAST_PRESENCE) / (_FULL_PRESENCE - _LEAST_PRESENCE)
        weight *= np.float32(np.clip(fade, 0.0, 1.0))
        blend = kernels.blend if self._outputs is None else self._outputs.blend
        if blend(work.frame, work.placed, work.drawn, weight, colour) is not None:
            self.faces += 1

    def _placed(self, frame: Frame, face: Face) -> Affine:
        """The network's input px to luma px."""
        metadata = self._swapper.metadata
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
