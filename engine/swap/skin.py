"""Skin, told by colour: what colours, sharpness and noise of two faces are compared on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from .colour_match import Statistics

# Of the covariances, for each of two passes: the first one is misled by what is no skin, the second one
# hardly is. A pass leaves of a normal distribution 0.75 of the variance where the two faces' pixels have
# nothing to do with each other, and 0.61 where they are alike: the next one is to cut at the same colours.
SPREADS = (1.0, 1.5)


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


def find_skin(
    drawn: NDArray[np.float32], source: NDArray[np.float32], mask: NDArray[np.float32]
) -> Skin | None:
    """Leaves out hair, brows, eyes, lips, teeth, and what of the background is under the mask.

    Pixels far from the mean colour lose their weight (see `kernels.skin`), in both pictures if they do in
    one: where only one has a beard, or a hand before the face, nothing is compared.

    Args:
        drawn: RGB float32 ``[3, R, R]``, the new face.
        source: the same of the old face.
        mask: float32 ``[R, R]``, most of it skin.

    Returns:
        None where the mask is empty.
    """
    of_drawn, of_source = kernels.stats(drawn, mask), kernels.stats(source, mask)
    if of_drawn[2] <= 0:
        return None
    skin = mask
    for spread in SPREADS:
        skin = kernels.skin(drawn, source, mask, of_drawn[:2], of_source[:2], spread)
        of_drawn, of_source = kernels.stats(drawn, skin), kernels.stats(source, skin)
    return Skin(skin, Statistics(*of_drawn[:2]), Statistics(*of_source[:2]))
