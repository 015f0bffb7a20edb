"""Swaps the faces of a batch of frames, in place in the decoder's planes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..compositing import CompositorOutputs
from ..face.faces_file import FrameFaces
from ..on_device.frame import Decoded, in_host
from ..review.measure import Recorder
from .account import Account, no_number, unseen
from .cast import Cast, Work
from .colour_match import Measured, Method, Statistics
from .mask import SKIN, MaskSettings, filled, frame_edges, soften
from .model import Swapper
from .occlusion import Occlusion


class Swapped(NamedTuple):
    """Frames that are done, with their faces, and what the user is to be warned of."""

    frames: Sequence[tuple[Decoded, FrameFaces]]
    warnings: list[str]


@dataclass(frozen=True)
class _Drawn:
    """A face as the network drew it; all pictures of one size."""

    work: Work[Decoded]
    source: NDArray[np.float32]
    drawn: NDArray[np.float32]
    mask: NDArray[np.float32]
    face_px: float
    redrawn: bool
    visible: NDArray[np.float32] | None
    covered: float


class BatchSwapper:
    """Crops, draws, matches and blends.

    Args:
        swappers: who draws, by track number or person's name as text; None draws all others.
        display: of `VideoInfo.display`.
        colour: how a face takes the shot's colours.
        mask: what of a face is blended.
        occlusion: leaves out what lies before faces; None takes all for face.
        outputs: for compositors; they are told of every face.
        recorder: is told of every face.
        measured: of the frames before the first one: `colours` of whoever had them.
    """

    def __init__(
        self,
        swappers: Mapping[str | None, Swapper],
        display: NDArray[np.float64],
        *,
        colour: Method,
        mask: MaskSettings,
        occlusion: Occlusion | None = None,
        outputs: CompositorOutputs | None = None,
        recorder: Recorder | None = None,
        measured: Sequence[Measured] = (),
    ) -> None:
        self._swappers = swappers
        self._mask = mask
        self._occlusion = occlusion
        self._outputs = outputs
        self._cast = Cast({whom: each.metadata for whom, each in swappers.items()}, display, mask)
        self._account = Account(colour, recorder=recorder, measured=measured)

    @property
    def faces(self) -> int:
        """How many were blended so far."""
        return self._account.faces

    @property
    def colours(self) -> Sequence[Measured]:
        """What was measured in the last frames."""
        return self._account.colours

    def tracks_of(self, line: FrameFaces) -> list[int]:
        """Of the faces of a frame that somebody draws."""
        return self._cast.tracks_of(line)

    def swapped(
        self, batches: Iterable[Sequence[tuple[Decoded, FrameFaces]]], *, blend: bool = True
    ) -> Generator[Swapped]:
        """Changes the frames' planes.

        Args:
            batches: frames in order, in the host's memory, and their faces.
            blend: False only measures colours, and changes nothing.

        Raises:
            BadInputError: a face without the landmarks that the model is aligned by.
        """
        for batch in batches:
            yield Swapped(batch, self._process(batch, blend=blend))

    def _process(self, batch: Sequence[tuple[Decoded, FrameFaces]], *, blend: bool) -> list[str]:
        # In the order of the frames, whoever draws: what is measured enters one average.
        drawn: dict[tuple[int, int], _Drawn] = {}
        warnings = []
        for whom, work in self._cast.work_of(batch).items():
            warnings += self._draw(self._swappers[whom], work, drawn, blend=blend)
        for order in sorted(drawn):
            self._match_and_blend(drawn[order], blend=blend)
        return warnings

    def _draw(
        self,
        swapper: Swapper,
        work: list[Work[Decoded]],
        drawn: dict[tuple[int, int], _Drawn],
        *,
        blend: bool,
    ) -> list[str]:
        size_px, output_px = swapper.metadata.size_px, swapper.metadata.output_px
        crops = np.empty((len(work), 3, size_px, size_px), np.float32)
        for crop, each in zip(crops, work, strict=True):
            kernels.crop(in_host(each.frame), each.placed[None], size_px, crop[None])
        pictures, masks, finite, redrawn = swapper.swap(crops)
        seen = None
        if self._occlusion is not None:
            seen = self._occlusion.look(
                [(in_host(each.frame), each.drawn_placed) for each in work], output_px
            )
        warnings = []
        for n, each in enumerate(work):
            if not finite[n]:
                warnings.append(no_number(each))
                if blend:
                    self._account.keep(each, "not a number")
                continue
            same = size_px == output_px
            source = (
                crops[n] if same else kernels.crop(in_host(each.frame), each.drawn_placed[None], output_px)[0]
            )
            mask = filled(each.outline(output_px), output_px)
            if self._mask.kind != "hull":
                mask *= masks[n]
            drawn[each.order] = _Drawn(
                each,
                source,
                pictures[n],
                mask,
                swapper.metadata.face_px,
                bool(redrawn[n]),
                None if seen is None else seen.visible[n],
                0.0 if seen is None else float(seen.covered[n]),
            )
        return warnings

    def _match_and_blend(self, drawn: _Drawn, *, blend: bool) -> None:
        work, skin = drawn.work, soften(drawn.mask, SKIN, drawn.face_px)
        # Beyond the frame's edge a crop repeats it; that has no colour of the face's.
        edges = frame_edges(work.drawn_placed, len(skin), work.frame.width, work.frame.height)
        if edges is not None:
            skin *= filled(edges, len(skin))
        if drawn.visible is not None:
            kernels.uncover(skin, drawn.visible)
        mean, covariance, area = kernels.stats(drawn.drawn, skin)
        if area <= 0:
            if blend:
                self._account.keep(work, unseen(work, drawn.covered))
            return
        new = Statistics(mean, covariance)
        old = Statistics(*kernels.stats(drawn.source, skin)[:2])
        colour = self._account.colour(work, new, old)
        if not blend:
            return
        weight = soften(drawn.mask, self._mask, drawn.face_px)
        mask_area = float(weight.mean())
        weight *= np.float32(work.share)
        if drawn.visible is not None:
            kernels.uncover(weight, drawn.visible)
        lay = kernels.blend if self._outputs is None else self._outputs.blend
        if lay(in_host(work.frame), work.drawn_placed, drawn.drawn, weight, colour) is None:
            self._account.keep(work, unseen(work, drawn.covered))
            return
        self._account.swap(
            work, new, old, colour, mask_area=mask_area, covered=drawn.covered, redrawn=drawn.redrawn
        )
