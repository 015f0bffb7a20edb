"""Skin, told by colour: what colours, sharpness and noise of two faces are compared on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .colour_match import Statistics, luma_variance

# That covariances are multiplied by, in each pass. What is no skin makes them large, and may hide so:
# so the first passes take only what is nearest to the mean, until that lies within the skin, and the others
# widen again. Up to a quarter of the mask may be anything.
_SPREADS = (0.25, 0.3, 4.0, 2.0)
# Rows of a face that all but the last pass look at.
_ROWS = 32


class Skin(NamedTuple):
    """Of one face in one frame.

    Attributes:
        mask: float32 ``[R, R]``: weights of the pixels that are skin in both pictures.
        drawn: colours of the new face there.
        source: of the old one.
    """

    mask: NDArray[np.float32]
    drawn: Statistics
    source: Statistics


def passes(size_px: int) -> Iterator[tuple[float, int]]:
    """Of `kernels.skin` over faces of this side: spread, and row step."""
    *first, last = _SPREADS
    for spread in first:
        yield spread, max(size_px // _ROWS, 1)
    yield last, 1


def find_skin(
    drawn: NDArray[np.float32],
    source: NDArray[np.float32],
    mask: NDArray[np.float32],
    *,
    search: bool = True,
) -> Skin | None:
    """Leaves out hair, brows, eyes, lips, teeth, and what of the background is under the mask.

    Pixels far from the mean colour lose their weight (see `kernels.skin`), in both pictures if they do in
    one: where only one has a beard, or a hand before the face, nothing is compared.

    Args:
        drawn: RGB float32 ``[3, R, R]``, the new face.
        source: the same of the old face.
        mask: float32 ``[R, R]``, most of it skin.
        search: False takes all that is under the mask.

    Returns:
        None where the mask is empty.
    """
    of_drawn, of_source = kernels.stats(drawn, mask), kernels.stats(source, mask)
    if of_drawn[2] <= 0:
        return None
    whole = luma_variance(of_drawn[1]), luma_variance(of_source[1])
    skin = mask
    for spread, row_step in passes(len(mask)) if search else ():
        skin = kernels.skin(drawn, source, mask, of_drawn, of_source, spread, row_step)
        of_drawn, of_source = kernels.stats(drawn, skin), kernels.stats(source, skin)
    new, old = (
        Statistics(*found[:2], contrast=contrast)
        for found, contrast in zip((of_drawn, of_source), whole, strict=True)
    )
    return Skin(skin, new, old)
