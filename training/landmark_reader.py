"""A small network that reads landmarks, and the loss that asks of a crossed face what the film's face does.

The reader learns beside the network, from real faces of both people. A crossed face is then read, and what
is read must be what is read of the face it was made of, moved by what the two people differ in at rest.
Reading is compared with reading, and not with the landmarks themselves: a reader that is timid about closed
eyes is so about both, and the encoder is not asked to overact.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engine.errors import UsageError
from .blocks import LEAKY_SLOPE, Down
from .damage import rescaled
from .face_points import MEAN_FACE, PART_WEIGHTS, POINTS, UNIT_FACE_HEIGHTS, FacePoints
from .presets import Preset
from .still import still

# Larger faces are read at this size: lids are three rows of a picture half as wide.
_MOST_PX = 128
_LEAST_PX = 4
_WIDTHS = (12, 24, 32, 40, 48)
_NECK = 24
# Drawn faces are softer than those that the reader learns from: it learns from soft copies too.
_SOFTEST = 4.0
# Below this difference, in units, noise of landmarks prevails.
_NOISE = 0.1


class LandmarkReader(nn.Module):
    """`[N,3,S,S]` in 0..1 -> what is read of them, `[N,2K+1]`.

    First where each point is, relative to a mean face that looks straight ahead; then how far the eyes are
    open, relative to open ones. In units in which a strong expression is about 1.

    Args:
        preset: of the network whose faces are read.
    """

    mean_face: Tensor
    weight: Tensor

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        # A reading in units, times this, is in half sides of the picture.
        self._unit = UNIT_FACE_HEIGHTS * 2 / preset.coverage
        # The largest power of two that is there, so that halving ends where the last layers begin.
        self.side_px = min(_MOST_PX, 1 << (preset.size_px.bit_length() - 1))
        halvings = max(1, (self.side_px // _LEAST_PX).bit_length() - 1)
        widths = _WIDTHS[-halvings:]
        self.down = nn.Sequential(
            Down(3, widths[0], 5),
            *(Down(a, b, 3) for a, b in pairwise(widths)),
            nn.Conv2d(widths[-1], _NECK, 1),
        )
        side = self.side_px >> halvings
        self.read = nn.Linear(_NECK * side * side, 2 * len(POINTS) + 1)
        # It begins with an empty reading: everybody's face, at rest, eyes open.
        nn.init.zeros_(self.read.bias)
        self.register_buffer("mean_face", MEAN_FACE * (2 / preset.coverage), persistent=False)
        self.register_buffer("weight", PART_WEIGHTS.clone(), persistent=False)

    def forward(self, face: Tensor) -> Tensor:
        small = functional.adaptive_avg_pool2d(face, self.side_px)
        seen = functional.leaky_relu(self.down(small * 2 - 1), LEAKY_SLOPE)
        # Half precision rounds to a tenth of what a lid moves by.
        with torch.autocast(face.device.type, enabled=False):
            told: Tensor = self.read(seen.flatten(1).float())
        return told

    def truth(self, points: FacePoints) -> Tensor:
        """What is to be read of faces with these points: `[N,2K+1]`."""
        places = (points.places - self.mean_face) / self._unit
        return torch.cat((places.flatten(1), points.eyes - 1), dim=1)

    def difference(self, points: FacePoints, rest: Tensor) -> Tensor:
        """What is read besides, if another person does the same: `[N,2K+1]`; see `FacePoints.as_other`."""
        # Eyes are told relative to the person's own.
        return functional.pad((points.as_other(rest) / self._unit).flatten(1), (0, 1))

    def misread(self, reading: Tensor, wanted: Tensor) -> Tensor:
        """How far readings `[N,2K+1]` are from others, in units: a scalar.

        The mean over the parts of a face: lips, lids, brows, what hardly moves but for the pose, and how far
        the eyes are open, which points do not tell.
        """
        apart = functional.smooth_l1_loss(reading.float(), wanted.float(), reduction="none", beta=_NOISE)
        return (apart.mean(dim=0) * self.weight).sum()


class Reading(NamedTuple):
    """What a reader learns in a step.

    Attributes:
        lost: a scalar for the reader to lower; no gradient of it reaches anything else.
        of_a: what it reads of A's real faces, without a gradient: `[N,2K+1]`.
    """

    lost: Tensor
    of_a: Tensor


def learnt_reading(
    reader: LandmarkReader, real_a: Tensor, real_b: Tensor, points_a: FacePoints, points_b: FacePoints
) -> Reading:
    """The reader's own loss, on real faces of both people and on soft copies of every other one.

    Args:
        reader: learns.
        real_a: `[N,3,S,S]` of A.
        real_b: of B.
        points_a: of A's faces.
        points_b: of B's.
    """
    truth = torch.cat((reader.truth(points_a), reader.truth(points_b)))
    faces = torch.cat((real_a, real_b)).float()
    some = faces[::2]
    soft = rescaled(some, torch.linspace(1, _SOFTEST, len(some), device=faces.device))
    read = reader(torch.cat((faces, soft)).contiguous(memory_format=torch.channels_last))
    lost = reader.misread(read, torch.cat((truth, truth[::2])))
    return Reading(lost, read[: len(real_a)].detach())


def landmark_consistency(
    reader: LandmarkReader,
    crossed: Tensor,
    read_of_a: Tensor,
    points_a: FacePoints,
    rest_b: Tensor,
) -> Tensor:
    """How far A drawn as B is from doing what A does: a scalar, in units of the reader.

    Args:
        reader: reads; no gradient stays with it.
        crossed: `[N,3,S,S]`, carries the gradient.
        read_of_a: of `learnt_reading`.
        points_a: of A's faces.
        rest_b: `[K,2]`, B's face at rest; see `FacePoints`.
    """
    return reader.misread(still(reader, crossed), read_of_a + reader.difference(points_a, rest_b))


def legibility(reader: LandmarkReader, drawn: Tensor, points: FacePoints) -> Tensor:
    """How much is to be read in drawn faces, 0..1, without a gradient.

    It is the share by which they are read better than by a guess that is the same for all of them. At first
    neither the decoder draws nor the reader reads, and nothing must follow from that.

    Args:
        reader: reads.
        drawn: `[N,3,S,S]`, faces drawn as themselves; N of two or more.
        points: of those faces.

    Raises:
        UsageError: one face says nothing of how faces differ.
    """
    if len(drawn) < 2:
        raise UsageError("the loss landmarks needs a batch of two faces or more: give --batch")
    with torch.no_grad():
        truth = reader.truth(points)
        guess = reader.misread(truth.mean(dim=0, keepdim=True).expand_as(truth), truth)
        return (1 - reader.misread(reader(drawn), truth) / guess.clamp_min(1e-6)).clamp(0, 1)
