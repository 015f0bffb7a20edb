"""What is left to do to a face when its match is known: how much it is sharpened, and its grain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..face.align import Affine
from ..frame import ColourDescription
from ..kernels import NO_GRAIN, Grain
from .grain import grain, noise_of, signal_of
from .steady_match import Match, MatchSettings
from .texture import blur_of, sharpening


class Finish(NamedTuple):
    """Of one face of one frame.

    Attributes:
        sharpening: amounts of passes of `kernels.sharpen`; 0 for none.
        taps: of its blur.
        grain: of `kernels.blend`.
    """

    sharpening: tuple[float, float]
    taps: NDArray[np.float32]
    grain: Grain


def finish(
    settings: MatchSettings,
    match: Match,
    drawn_placed: Affine,
    colour: ColourDescription,
    *,
    pts: int,
    track: int,
) -> Finish:
    """The same for a face however work is split.

    Args:
        settings: how much of it is wanted.
        match: of the face.
        drawn_placed: the face's px to luma px.
        colour: of the frame.
        pts: of the frame.
        track: of the face.
    """
    taps = blur_of(drawn_placed).taps
    if match.texture is None:
        return Finish((0.0, 0.0), taps, NO_GRAIN)
    sigma, side = noise_of(match.texture, colour)
    first, second = sharpening(match.texture, drawn_placed, match.shown, noise_sigma=signal_of(sigma, colour))
    noise = grain(sigma, side, colour, pts=pts, track=track, strength=settings.grain)
    share = settings.sharpness
    return Finish((share * first, share * second), taps, noise)
