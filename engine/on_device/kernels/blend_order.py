"""In which launches faces are laid, so that the result does not depend on which tile runs first.

Tiles of one launch run in any order. So a face that may share samples with an earlier one of its frame goes
into a later round. And where highlights fade, chroma's weights come from luma as it was, beyond the tile
too: chroma is blended in one launch, luma in the next. kernels/common/blend_tile.h says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..._native import device as native
from .records import Records


@dataclass(frozen=True)
class BlendLaunch:
    """One launch over some of the jobs.

    Attributes:
        first: of the jobs.
        count: of the jobs.
        tiles: of the job that has most.
        planes: ``native.BLEND_LUMA``, ``native.BLEND_CHROMA`` or both.
    """

    first: int
    count: int
    tiles: int
    planes: int


def in_launches(jobs: Records, fades: NDArray[np.bool_]) -> tuple[Records, list[BlendLaunch]]:
    """Sorts jobs into launches.

    Args:
        jobs: ``[N]``, in the order in which faces lie on each other.
        fades: ``[N]``, whether highlights fade in a frame of subsampled chroma.

    Returns:
        The jobs in the order of launches, and these.
    """
    groups = 2 * _rounds(jobs) + fades
    order = np.argsort(groups, kind="stable")
    ordered, groups = jobs[order], groups[order]
    tiles = np.array([_tiles(*box) for box in ordered["box"].tolist()])
    launches = []
    for group in np.unique(groups).tolist():
        first, end = np.searchsorted(groups, [group, group + 1]).tolist()
        for planes in (
            (native.BLEND_CHROMA, native.BLEND_LUMA)
            if group % 2
            else (native.BLEND_LUMA | native.BLEND_CHROMA,)
        ):
            launches.append(BlendLaunch(first, end - first, int(tiles[first:end].max()), planes))
    return ordered, launches


def _rounds(jobs: Records) -> NDArray[np.intp]:
    """For each face, how many others have to be laid first, one after the other."""
    rounds = np.zeros(len(jobs), np.intp)
    if len(np.unique(jobs["frame"])) == len(jobs):
        return rounds
    begin = jobs["box"][:, :2] - native.BLEND_HALO_PX
    end = jobs["box"][:, 2:] + native.BLEND_HALO_PX
    meets = ((begin[:, None] < end) & (begin < end[:, None])).all(2)
    meets &= jobs["frame"][:, None] == jobs["frame"]
    for face in np.flatnonzero(np.tril(meets, -1).any(1)):
        rounds[face] = 1 + rounds[:face][meets[face, :face]].max()
    return rounds


def _tiles(x0: int, y0: int, x1: int, y1: int) -> int:
    return native.blend_tiles(x0, x1) * native.blend_tiles(y0, y1)
