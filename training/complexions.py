"""Bare faces as other people have them: of another shape and skin, with a beard, in hard light.

A handful of people can be filmed; a network that tells faces from what lies before them meets everybody. What
it knew of skin from few faces it took for all there is: dark faces, beards and hard side light were something
else to it. So each face is drawn out, recoloured, lit and grown a beard before anything is laid over it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .draw import Draw

# Standard deviation of the offsets of a face's 4x4 points, and by how much it is drawn out: half crop sides.
_WARP, _STRETCH = 0.045, 0.12
# Luma of skin, as gamma-encoded RGB has it: from very dark to very light.
_DARKEST, _LIGHTEST = 0.07, 0.82
# R and B over G, at the dark and at the light end; faces differ from that by `_TINT`.
_DARK_HUE, _LIGHT_HUE, _TINT = (1.55, 0.72), (1.18, 0.88), 0.16
# Of the in-face square, face heights from its centre: a mouth's middle, and the half sides of its lips.
_MOUTH_Y, _LIPS = 0.24, (0.16, 0.06)


class Bare(NamedTuple):
    """Faces; all `[N,...,S,S]`.

    Attributes:
        pictures: three channels in 0..1.
        face: one: where there is a face.
        in_face: two: x and y in face heights from the face's centre.
    """

    pictures: Tensor
    face: Tensor
    in_face: Tensor


def other_people(draw: Draw, faces: Bare) -> Bare:
    """The same faces, as if they were other people's, in another light."""
    pictures, face, in_face = _reshaped(draw, faces)
    pictures = _bearded(draw, _recoloured(draw, pictures, face), face, in_face)
    return Bare(_shining(draw, _lit(draw, pictures, in_face), in_face), face, in_face)


def _reshaped(draw: Draw, faces: Bare) -> Bare:
    """Longer or broader, and a little bent."""
    side = faces.pictures.shape[-1]
    offsets = draw.normal(2, 4, 4) * (_WARP * draw.uniform())
    bent = functional.interpolate(offsets, size=(side, side), mode="bicubic", align_corners=True)
    at = (torch.arange(side, device=bent.device) + 0.5) * (2 / side) - 1
    straight = torch.stack(torch.meshgrid(at, at, indexing="xy"))
    grid = (straight * (1 + draw.even(_STRETCH, channels=2)) + bent).permute(0, 2, 3, 1)
    moved = functional.grid_sample(torch.cat(faces, dim=1), grid, padding_mode="border", align_corners=False)
    return Bare(moved[:, :3], moved[:, 3:4], moved[:, 4:])


def _recoloured(draw: Draw, pictures: Tensor, face: Tensor) -> Tensor:
    """Two thirds with skin of another tone: the picture times what leads from the one to the other."""
    skin = (pictures * face).sum(dim=(2, 3), keepdim=True) / face.sum(dim=(2, 3), keepdim=True).clamp_min(1)
    light = draw.uniform()
    hues = (
        torch.lerp(torch.full_like(light, d), torch.full_like(light, b), light)
        for d, b in zip(_DARK_HUE, _LIGHT_HUE, strict=True)
    )
    red, blue = (hue * (1 + draw.even(_TINT)) for hue in hues)
    tone = (_DARKEST + (_LIGHTEST - _DARKEST) * light) * torch.cat((red, torch.ones_like(red), blue), dim=1)
    gain = (tone / skin.clamp_min(0.03)).clamp(0.15, 2.5)
    # Dark skin shines, and its shadows are not as deep: less of the picture's contrast, or more.
    contrast = torch.exp(draw.even(0.25))
    relative = (pictures / skin.clamp_min(0.03)).clamp_min(1e-3) ** contrast
    new = (relative * skin * gain).clamp(0, 1)
    return torch.lerp(pictures, new, draw.happens(0.66))


def _bearded(draw: Draw, pictures: Tensor, face: Tensor, in_face: Tensor) -> Tensor:
    """A third with a beard, or its shadow, with a moustache or without: it is a part of the face."""
    x, y = in_face[:, :1], in_face[:, 1:]
    lips = (x / _LIPS[0]) ** 2 + ((y - _MOUTH_Y) / _LIPS[1]) ** 2
    # Down the cheeks it reaches higher than in the middle.
    top = draw.between(0.1, 0.3) - draw.between(0, 0.6) * x.abs()
    edge = draw.between(0.02, 0.06)
    chin = ((y - top.clamp_min(-0.1)) / edge + 0.5).clamp(0, 1)
    below_nose = (1 - (((y - _MOUTH_Y + 0.09) / 0.05) ** 2 + (x / draw.between(0.12, 0.22)) ** 2)).clamp(0, 1)
    grown = torch.maximum(chin * draw.happens(0.85), (2 * below_nose).clamp(0, 1) * draw.happens(0.8))
    grown = grown * (2 * (lips - 1)).clamp(0, 1) * face
    side = pictures.shape[-1]
    hairs = (
        draw.normal(1, side, side)
        + 2 * draw.normal(1, side // 2, side // 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    ) / 3
    dark = pictures * draw.between(0.1, 0.6) + draw.even(0.02, channels=3)
    beard = dark * (1 + draw.between(0.05, 0.4) * hairs)
    grey = draw.happens(0.15) * draw.between(0.2, 0.8)
    beard = torch.lerp(beard, (0.5 + 0.25 * hairs).clamp(0, 1).expand_as(beard), grey)
    return torch.lerp(pictures, beard, grown * draw.happens(0.35) * draw.between(0.3, 1)).clamp(0, 1)


def _lit(draw: Draw, pictures: Tensor, in_face: Tensor) -> Tensor:
    """Half in light from a side, whose edge runs over the nose and the brows, soft or hard."""
    angle = draw.even(math.pi)
    # Most light comes from the left or the right.
    angle = torch.where(draw.happens(0.6) > 0, (angle / math.pi).round() * math.pi + draw.even(0.4), angle)
    along = in_face[:, :1] * angle.cos() + in_face[:, 1:] * angle.sin()
    across = in_face[:, 1:] * angle.cos() - in_face[:, :1] * angle.sin()
    bends = draw.even(0.08) * (across * draw.between(4, 14) + draw.even(math.pi)).sin()
    bright = torch.sigmoid((along + bends - draw.even(0.3)) / draw.between(0.015, 0.25))
    colour = 1 + draw.even(0.15, channels=3) * draw.happens(0.5)
    shade = draw.between(0.12, 0.8) * colour
    strong = draw.between(0.9, 1.5)
    lit = pictures * (shade + (strong - shade) * bright)
    return torch.lerp(pictures, lit, draw.happens(0.5)).clamp(0, 1)


def _shining(draw: Draw, pictures: Tensor, in_face: Tensor) -> Tensor:
    """A third with shines on brow, nose or cheek."""
    for _ in range(2):
        centre = torch.cat((draw.even(0.25), draw.between(-0.4, 0.1)), dim=1)
        size = draw.between(0.02, 0.09) * torch.cat((draw.between(0.6, 2), draw.between(0.6, 1.5)), dim=1)
        shine = torch.exp(-(((in_face - centre) / size) ** 2).sum(dim=1, keepdim=True))
        pictures = pictures + shine * (1 - pictures) * draw.between(0.1, 0.7) * draw.happens(0.35)
    return pictures
