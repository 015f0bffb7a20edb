"""Swaps the faces of a batch of frames, in place in the decoder's planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..compositing import CompositorOutputs
from ..errors import BadInputError
from ..face.align import Affine, apply, crop_to_frame, invert
from ..face.faces_file import Face, FrameFaces
from ..frame import Frame
from ..review.measure import Kept, Recorder
from .colour_match import Measured, Method, Statistics, SteadyMatch
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
    redrawn: bool


class BatchSwapper:
    """Crops, draws, matches and blends.

    Args:
        swappers: who draws, by track number or person's name as text; None draws all others.
        display: of `VideoInfo.display`.
        colour: how a face takes the shot's colours.
        mask: the edge of what is blended.
        outputs: for compositors; they are told of every face.
        recorder: is told of every face.
        measured: of the frames before the first one: `colours` of whoever had them.

    Attributes:
        faces: how many were blended so far.
    """

    def __init__(
        self,
        swappers: Mapping[str | None, Swapper],
        display: NDArray[np.float64],
        *,
        colour: Method,
        mask: MaskSettings,
        outputs: CompositorOutputs | None = None,
        recorder: Recorder | None = None,
        measured: Sequence[Measured] = (),
    ) -> None:
        self.faces = 0
        self._swappers = swappers
        self._display = display
        self._mask = mask
        self._match = SteadyMatch(colour)
        self._outputs = outputs
        self._recorder = recorder
        for each in measured:
            self._match.update(each)

    @property
    def colours(self) -> Sequence[Measured]:
        """What was measured in the last frames."""
        return tuple(self._match.recent)

    def tracks_of(self, line: FrameFaces) -> list[int]:
        """Of the faces of a frame that somebody draws."""
        return [face.track for face in line.faces if self._drawn_by(face) in self._swappers]

    def process(self, batch: list[tuple[Frame, FrameFaces]], *, blend: bool = True) -> list[str]:
        """Changes the frames' planes; gives warnings.

        Args:
            batch: frames in order, and their faces.
            blend: False only measures colours, and changes nothing.

        Raises:
            BadInputError: a face without the landmarks that the model is aligned by.
        """
        # In the order of the frames, whoever draws: what is measured enters one average.
        drawn: dict[tuple[int, int], _Drawn] = {}
        warnings = []
        for whom, swapper in self._swappers.items():
            work = [
                (n, m, frame, line.shot, face)
                for n, (frame, line) in enumerate(batch)
                for m, face in enumerate(line.faces)
                if self._drawn_by(face) == whom
            ]
            if work:
                warnings += self._draw(swapper, work, drawn, blend=blend)
        for place in sorted(drawn):
            self._match_and_blend(drawn[place], blend=blend)
        return warnings

    def _drawn_by(self, face: Face) -> str | None:
        names = (face.person, str(face.track))
        return next((name for name in names if name is not None and name in self._swappers), None)

    def _draw(
        self,
        swapper: Swapper,
        work: list[tuple[int, int, Frame, int, Face]],
        drawn: dict[tuple[int, int], _Drawn],
        *,
        blend: bool,
    ) -> list[str]:
        size_px, output_px = swapper.metadata.size_px, swapper.metadata.output_px
        crops = np.empty((len(work), 3, size_px, size_px), np.float32)
        places = [self._placed(swapper, frame, face) for _, _, frame, _, face in work]
        for crop, placed, (_, _, frame, _, _) in zip(crops, places, work, strict=True):
            kernels.crop(frame, placed[None], size_px, crop[None])
        pictures, masks, finite, redrawn = swapper.swap(crops)
        warnings = []
        for n, (place, (row, column, frame, shot, face)) in enumerate(zip(places, work, strict=True)):
            if not finite[n]:
                warnings.append(f"frame {frame.index}: the network gave no number; the face stays as it was")
                if blend:
                    self._keep(frame, face, "not a number")
                continue
            placed = place * [size_px / output_px, size_px / output_px, 1.0]
            source = crops[n] if size_px == output_px else kernels.crop(frame, placed[None], output_px)[0]
            # Drawn where both people have a face: the new one must not spill over the old one's outline.
            outline = hull(apply(invert(placed), face.landmarks), output_px)
            drawn[row, column] = _Drawn(
                frame, shot, face, placed, source, pictures[n], masks[n] * outline, bool(redrawn[n])
            )
        return warnings

    def _match_and_blend(self, work: _Drawn, *, blend: bool) -> None:
        skin = soften(work.mask, _SKIN)
        mean, covariance, area = kernels.stats(work.drawn, skin)
        if area <= 0:
            if blend:
                self._keep(work.frame, work.face, "no mask")
            return
        drawn = Statistics(mean, covariance)
        source = Statistics(*kernels.stats(work.source, skin)[:2])
        measured = Measured(work.frame.index, work.shot, work.face.track, drawn, source)
        colour = self._match.update(measured)
        if not blend:
            return
        weight = soften(work.mask, self._mask)
        fade = (work.face.presence - _LEAST_PRESENCE) / (_FULL_PRESENCE - _LEAST_PRESENCE)
        share = float(np.clip(fade, 0.0, 1.0))
        mask_area = float(weight.mean())
        weight *= np.float32(share)
        lay = kernels.blend if self._outputs is None else self._outputs.blend
        if lay(work.frame, work.placed, work.drawn, weight, colour) is None:
            self._keep(work.frame, work.face, "no mask")
            return
        self.faces += 1
        if self._recorder is not None:
            self._recorder.swapped(
                work.frame.pts,
                work.face,
                mask_area=mask_area,
                drawn_mean=drawn.mean,
                source_mean=source.mean,
                colour=colour,
                share=share,
                retried=work.redrawn,
            )

    def _keep(self, frame: Frame, face: Face, reason: Kept) -> None:
        if self._recorder is not None:
            self._recorder.kept(frame.pts, face, reason)

    def _placed(self, swapper: Swapper, frame: Frame, face: Face) -> Affine:
        """The network's input px to luma px."""
        metadata = swapper.metadata
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
