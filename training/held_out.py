"""Faces that are never trained on: what the network makes of them is what it has learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from .faceset import Faceset
from .losses import dssim, window_px
from .models import FaceNetwork, Person
from .store import FaceStore

# Faces that follow each other are nearly alike: they are held out in runs of this many.
RUN_FACES = 8
SHARE = 0.05
MOST_FACES = 128
# Of fewer faces none can be spared.
LEAST_FACES = 80
_BATCH = 32


@dataclass(frozen=True)
class HeldOut:
    """Structural dissimilarity of held-out faces that are drawn by their own decoder, 0..1.

    Attributes:
        step: steps done.
        dssim_a: of person A, under the face's mask.
        dssim_b: of person B.
    """

    step: int
    dssim_a: float
    dssim_b: float

    @property
    def mean(self) -> float:
        return (self.dssim_a + self.dssim_b) / 2


def can_spare(facesets: Sequence[Faceset]) -> bool:
    """Whether a few faces of each can be kept from training."""
    return all(len(faceset.records) >= LEAST_FACES for faceset in facesets)


def split(faceset: Faceset) -> tuple[Faceset, Faceset]:
    """The faces to train on, and those that are held out: a few runs of consecutive ones, evenly spread.

    The same faceset, of `LEAST_FACES` or more, gives the same two.
    """
    count = len(faceset.records)
    runs = max(1, round(min(SHARE * count, MOST_FACES) / RUN_FACES))
    firsts = [(2 * run + 1) * count // (2 * runs) - RUN_FACES // 2 for run in range(runs)]
    held = {first + n for first in firsts for n in range(RUN_FACES)}
    return _part(faceset, set(range(count)) - held, "trained"), _part(faceset, held, "held out")


def measure(network: FaceNetwork, stores: tuple[FaceStore, FaceStore], step: int) -> HeldOut:
    """What a network, in evaluation mode, makes of held-out faces; they are not warped nor graded."""
    return HeldOut(step, _dssim(network, stores[0], "a"), _dssim(network, stores[1], "b"))


def _dssim(network: FaceNetwork, store: FaceStore, person: Person) -> float:
    size_px = network.preset.size_px
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(store), _BATCH):
            faces = store.centred(list(range(first, min(first + _BATCH, len(store)))), size_px)
            drawn = network(faces[:, :3], person)[:, :3]
            total += len(faces) * float(dssim(drawn, faces[:, :3], faces[:, 3:4], window_px(size_px)))
    return total / len(store)


def _part(faceset: Faceset, numbers: set[int], name: str) -> Faceset:
    """Some faces of a set, as a set of its own."""
    records = [record for number, record in enumerate(faceset.records) if number in numbers]
    data_hash = hashlib.sha256(f"{faceset.data_hash} {name}".encode()).hexdigest()
    return replace(faceset, records=records, data_hash=data_hash)
