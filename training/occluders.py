"""Things before a face: soft-edged shapes in one colour or with the skin, hair and cloth of another face.

The encoder sees them, and the mask that is to be learnt leaves them out: so
hands and microphones stay what they are in a conversion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .draw import Draw

# In half sides of the model's crop, as all lengths here.
_HALF_LENGTH = (0.12, 0.6)
_PLACE = 0.9
_EDGE = (0.04, 0.12)
# Exponents of a superellipse: an ellipse, and nearly a rectangle.
_ROUNDNESS = (2.0, 6.0)
_ZOOM = (0.6, 1.6)


class Occluders:
    """One before each face that has one, and where it lies in the face's own crop.

    Args:
        draw: every random number comes from it.
        faces: `[N,C,T,T]` whose first three channels lend their textures; each to the next face.
        probability: that a face has one.
        span: side of the model's crop over T.
    """

    def __init__(self, draw: Draw, faces: Tensor, probability: float, span: float) -> None:
        self._present = draw.happens(probability)
        self._centre = _points(draw.even(_PLACE, channels=2))
        self._half = _points(draw.between(*_HALF_LENGTH, channels=2))
        self._turn = _turn(draw)
        self._edge = draw.between(*_EDGE)
        self._exponent = draw.between(*_ROUNDNESS)
        self._texture = faces[:, :3].roll(1, dims=0)
        self._texture_turn = _turn(draw) * draw.between(*_ZOOM)
        self._texture_centre = _points(draw.even(_PLACE, channels=2))
        self._colour = draw.uniform(channels=3)
        self._plain = draw.happens(0.5)
        self._span = span

    def cover(self, points: Tensor) -> Tensor:
        """How much of each point is covered: `[N,1,S,S]` in 0..1.

        Args:
            points: `[N,S,S,2]` x, y in -1..1 between the edges of the model's crop of the face.
        """
        # The floor keeps the power's base off zero where it has no slope.
        across, along = (((points - self._centre) @ self._turn) / self._half).abs().clamp_min(1e-4).unbind(-1)
        exponent = self._exponent[:, 0]
        radius = (across**exponent + along**exponent) ** (1 / exponent)
        inward = (1 - radius) * self._half.amin(dim=-1)
        return (inward[:, None] / self._edge + 0.5).clamp(0, 1) * self._present

    def colours(self, points: Tensor) -> Tensor:
        """What covers each point: `[N,3,S,S]` in 0..1."""
        at = (points - self._centre) @ self._texture_turn + self._texture_centre
        # Beyond its edge the other face's picture is mirrored: a repeated border would show as stripes.
        texture = functional.grid_sample(
            self._texture, at * self._span, padding_mode="reflection", align_corners=False
        )
        return torch.lerp(texture, self._colour.expand_as(texture), self._plain)


def _points(pair: Tensor) -> Tensor:
    """`[N,2,1,1]` -> `[N,1,1,2]`."""
    return pair.reshape(-1, 1, 1, 2)


def _turn(draw: Draw) -> Tensor:
    """A rotation `[N,1,2,2]` to multiply row vectors with."""
    angle = draw.even(math.pi)
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.cat((torch.cat((cos, sin), dim=-1), torch.cat((-sin, cos), dim=-1)), dim=-2)
