"""Swaps the faces of a batch of frames, in place in the decoder's planes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..compositing import CompositorOutputs
from ..face.align import apply, invert
from ..face.faces_file import FrameFaces
from ..on_device.frame import Decoded, in_host
from ..provenance.mark.payload import Payload
from ..review.measure import Recorder
from .account import Account, no_number, unseen
from .cast import Cast, Work
from .colour_match import CURVE_HIGH, CURVE_LOW, OPPONENT, QUANTILES, Statistics
from .finish import Finish, finish
from .mark import Marker, luma_row
from .mask import SKIN, MaskSettings, filled, frame_edges, soften
from .model import Swapper
from .motion_blur import Ways, motion_blurred
from .occlusion import Occlusion
from .refine import Refiner
from .skin import Skin, find_skin
from .steady_match import Match, MatchSettings, Measured
from .texture import WIDE, Texture, blur_of, detail_of


class Swapped(NamedTuple):
    """Frames that are done, with their faces, and what the user is to be warned of.

    Whoever takes them may empty the list, so that nobody holds them any longer.
    """

    frames: list[tuple[Decoded, FrameFaces]]
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


@dataclass(frozen=True)
class _Seen:
    """A face, and what was measured of it; no skin where its mask is empty."""

    drawn: _Drawn
    skin: Skin | None
    texture: Texture | None


class BatchSwapper:
    """Crops, draws, matches and blends.

    Args:
        swappers: who draws, by track number or person's name as text; None draws all others.
        display: of `VideoInfo.display`.
        match: how a face is made to fit the plate.
        mask: what of a face is blended.
        occlusion: leaves out what lies before faces; None takes all for face.
        outputs: for compositors; they are told of every face.
        payload: of the mark that every face carries; None for none.
        recorder: is told of every face.
        measured: of the frames before the first one: `colours` of whoever had them.
    """

    def __init__(
        self,
        swappers: Mapping[str | None, Swapper],
        display: NDArray[np.float64],
        *,
        match: MatchSettings,
        mask: MaskSettings,
        occlusion: Occlusion | None = None,
        outputs: CompositorOutputs | None = None,
        payload: Payload | None = None,
        recorder: Recorder | None = None,
        measured: Sequence[Measured] = (),
    ) -> None:
        self._swappers = swappers
        self._settings, self._mask = match, mask
        self._refiner = None if match.refine == "off" else Refiner(match.refine)
        self._ways = Ways(measured) if match.motion_blur else None
        self._occlusion = occlusion
        self._outputs = outputs
        self._marker = None if payload is None else Marker(payload, display)
        self._cast = Cast({whom: each.metadata for whom, each in swappers.items()}, display, mask)
        self._account = Account(match.colour, recorder=recorder, measured=measured)

    @property
    def faces(self) -> int:
        """How many were blended so far."""
        return self._account.faces

    @property
    def frames_changed(self) -> int:
        """In how many frames one was blended so far."""
        return self._account.frames_changed

    @property
    def colours(self) -> Sequence[Measured]:
        """What was measured in the last frames."""
        return self._account.colours

    def tracks_of(self, line: FrameFaces) -> list[int]:
        """Of the faces of a frame that somebody draws."""
        return self._cast.tracks_of(line)

    def swapped(
        self, batches: Iterable[list[tuple[Decoded, FrameFaces]]], *, blend: bool = True
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
        # All are measured first: where faces lie over each other, on what the plate shows.
        seen = [self._see(drawn[order]) for order in sorted(drawn)]
        for each in seen:
            self._match_and_blend(each, blend=blend)
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
            picture = pictures[n]
            if self._refiner is not None:
                landmarks = apply(invert(each.drawn_placed), each.face.landmarks)
                picture = self._refiner.refined(picture, source, landmarks)
            drawn[each.order] = _Drawn(
                each,
                source,
                picture,
                mask,
                swapper.metadata.face_px,
                bool(redrawn[n]),
                None if seen is None else seen.visible[n],
                0.0 if seen is None else float(seen.covered[n]),
            )
        return warnings

    def _see(self, drawn: _Drawn) -> _Seen:
        work, inside = drawn.work, soften(drawn.mask, SKIN, drawn.face_px)
        placed, frame = work.drawn_placed, in_host(work.frame)
        # Beyond the frame's edge a crop repeats it; that has no colour of the face's.
        edges = frame_edges(placed, len(inside), work.frame.width, work.frame.height)
        if edges is not None:
            inside *= filled(edges, len(inside))
        if drawn.visible is not None:
            kernels.uncover(inside, drawn.visible)
        if self._ways is not None and (way := self._ways.of(work, len(inside), drawn.face_px)) is not None:
            blurred = motion_blurred(drawn.drawn, drawn.source, inside, way)
            drawn = replace(drawn, drawn=blurred)
        skin = find_skin(drawn.drawn, drawn.source, inside, search=self._settings.needs_skin)
        if skin is not None and self._ways is not None:
            self._ways.note(work)
        if skin is None or not self._settings.textured:
            return _Seen(drawn, skin, None)
        details, wide = (
            detail_of(drawn.drawn, drawn.source, inside, blur) for blur in (blur_of(placed), WIDE)
        )
        return _Seen(drawn, skin, Texture(*details, *wide, *kernels.noise(frame, placed, skin.mask)))

    def _match_and_blend(self, seen: _Seen, *, blend: bool) -> None:
        drawn, work = seen.drawn, seen.drawn.work
        if seen.skin is None:
            if blend:
                self._account.keep(work, unseen(work, drawn.covered))
            return
        new, old = self._statistics(drawn, seen.skin)
        match = self._account.match(work, new, old, seen.texture, drawn.visible)
        if not blend:
            return
        weight = soften(drawn.mask, self._mask, drawn.face_px)
        mask_area = float(weight.mean())
        weight *= np.float32(work.share)
        if match.visible is not None:
            kernels.uncover(weight, match.visible)
        frame = in_host(work.frame)
        finished = finish(
            self._settings, match, work.drawn_placed, frame.colour, pts=frame.pts, track=work.face.track
        )
        face = _finished(drawn.drawn, match, finished)
        mark = None
        if self._marker is not None:
            mark = self._marker.mark(work, face, weight, luma_row(frame.colour, match.colour))
        lay = kernels.blend if self._outputs is None else self._outputs.blend
        box = lay(frame, work.drawn_placed, face, weight, match.colour, grain=finished.grain, mark=mark)
        if box is None:
            self._account.keep(work, unseen(work, drawn.covered))
            return
        self._account.swap(
            work, new, old, match, mask_area=mask_area, covered=drawn.covered, redrawn=drawn.redrawn
        )

    def _statistics(self, drawn: _Drawn, skin: Skin) -> tuple[Statistics, Statistics]:
        """Of the new face and the old one."""
        if self._settings.colour != "hist":
            return skin.drawn, skin.source
        new, old = (
            replace(each, quantiles=kernels.quantiles(image, skin.mask, OPPONENT, QUANTILES))
            for each, image in ((skin.drawn, drawn.drawn), (skin.source, drawn.source))
        )
        return new, old


def _finished(face: NDArray[np.float32], match: Match, finished: Finish) -> NDArray[np.float32]:
    """The new face, sharp, and with its curves."""
    for amount in finished.sharpening:
        if amount != 0.0:
            face = kernels.sharpen(face, finished.taps, amount)
    if match.curves is not None:
        face = kernels.recolour(face, OPPONENT, match.curves, CURVE_LOW, CURVE_HIGH)
    return face
