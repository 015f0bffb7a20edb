"""What is measured of faces, averaged over their tracks, and what follows for the face that is blended."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..face.align import Affine
from .colour_match import Method, Statistics, curves, transform
from .refine import Refine
from .steady_cover import HELD_FRAMES, steady_cover
from .texture import Texture

# Share of the newest frame in the running statistics: a third of them is about three frames old.
_NEWEST = 0.25
# Frames after which the older ones weigh 0.75^12.
MEMORY_FRAMES = 12


@dataclass(frozen=True)
class MatchSettings:
    """How a new face is made to fit the plate.

    Attributes:
        colour: see `colour_match`.
        sharpness: share of the difference in sharpness that is made good, 0..1; 0 for none. See `texture`.
        grain: strength of the noise that it is given, over the plate's; 0 for none. See `grain`.
        refine: what of its expression is made the source's; see `refine`.
        motion_blur: whether a face that moves fast is blurred as the plate's is; see `motion_blur`.
    """

    colour: Method = "reinhard"
    sharpness: float = 0.0
    grain: float = 0.0
    refine: Refine = "off"
    motion_blur: bool = False

    @property
    def textured(self) -> bool:
        """Whether texture is to be measured."""
        return self.sharpness > 0 or self.grain > 0

    @property
    def needs_skin(self) -> bool:
        """Whether skin is to be told from the rest of a face: for its colours, or the noise there."""
        return self.colour != "none" or self.grain > 0


@dataclass(frozen=True)
class Measured:
    """What was measured of one face in one frame, which depends on that frame alone.

    Attributes:
        frame: its number in the clip.
        shot: of the clip.
        track: of the face.
        drawn: colours of the new face's skin.
        source: of the old one's.
        texture: of both; None where nobody asks for it.
        visible: uint8 ``[64, 64]``, of `swap.occlusion.Seen`, 255 where the face is seen; None where nobody
            asks for it.
        placed: of `Work.drawn_placed`, where the next frame may ask for it.
    """

    frame: int
    shot: int
    track: int
    drawn: Statistics
    source: Statistics
    texture: Texture | None = None
    visible: NDArray[np.uint8] | None = None
    placed: Affine | None = None


@dataclass(frozen=True)
class Match:
    """What fits a face to the plate.

    Attributes:
        colour: ``[3, 4]``, for `kernels.blend`.
        curves: of `colour_match.curves`, laid over the face before; None for none.
        texture: of the last frames on average; None where nobody asks for it.
        shown: ``[3, 4]``, what of the face's mean colour is seen in the end, curves and all.
        visible: float32 ``[64, 64]`` in 0..1, what of the face is seen, for `kernels.uncover`; None for all.
    """

    colour: NDArray[np.float64]
    curves: NDArray[np.float32] | None
    texture: Texture | None
    shown: NDArray[np.float64]
    visible: NDArray[np.float32] | None = None


class SteadyMatch:
    """Matches that do not flicker: what is measured is averaged over a track's frames.

    Attributes:
        recent: what was measured in the last `MEMORY_FRAMES` frames, in order. Fed to another one, it goes on
            as this would, but for what lies before: less than 4 %.
    """

    def __init__(self, method: Method) -> None:
        self.recent: deque[Measured] = deque()
        self._method = method
        self._running: dict[int, Measured] = {}
        self._shot = -1

    def update(self, measured: Measured) -> Match:
        """Takes in what was measured of a face; gives its match."""
        if measured.shot != self._shot:
            self._shot = measured.shot
            self._running.clear()
        visible = self._visible(measured)
        before = self._running.get(measured.track)
        steady = self._running[measured.track] = measured if before is None else _mixed(before, measured)
        self.recent.append(measured)
        while self.recent[0].frame <= measured.frame - MEMORY_FRAMES:
            self.recent.popleft()
        colour = transform(self._method, steady.drawn, steady.source)
        if self._method != "hist":
            return Match(colour, None, steady.texture, colour, visible)
        shown = transform("mean", steady.drawn, steady.source)
        return Match(colour, curves(steady.drawn, steady.source), steady.texture, shown, visible)

    def _visible(self, newest: Measured) -> NDArray[np.float32] | None:
        if newest.visible is None:
            return None
        held = [
            each.visible
            for each in self.recent
            if each.visible is not None
            and (each.shot, each.track) == (newest.shot, newest.track)
            and each.frame >= newest.frame - HELD_FRAMES
        ]
        return steady_cover([*held, newest.visible])


def _mixed(before: Measured, newest: Measured) -> Measured:
    texture = newest.texture
    if before.texture is not None and texture is not None:
        texture = before.texture.mixed(texture, _NEWEST)
    return Measured(
        newest.frame,
        newest.shot,
        newest.track,
        before.drawn.mixed(newest.drawn, _NEWEST),
        before.source.mixed(newest.source, _NEWEST),
        texture,
    )
