"""Hands, microphones, panels, glasses and hair, drawn in the light and the skin of the faces they lie before.

Rounded limbs with light from one side, joined to a hand, are what a small network needs to learn that a hand
is not a face though both are skin. `occluders` are simpler: there the face itself is to be learnt.

All lengths are in half sides of the crop; points are x, y in -1..1 between its edges.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..engine.face.align import LEFT_EYE_OUTER, TEMPLATE
from .draw import Draw

# Of a hand of size 1, which is as long as the face before which it is held is high.
_FINGER, _FINGER_RADIUS, _PALM_RADIUS, _ARM_RADIUS = 0.62, 0.085, 0.3, 0.22
_FINGERS_APART = 0.17
# A limb's edge is as soft as a lens and motion leave it.
_EDGE = (0.025, 0.09)
# Pictures that a moving obstacle is averaged over.
_SHUTTER_STEPS = 6
# Outer corner and middle of an eye, in face heights.
_EYE_X, _EYE_Y = 0.7 * TEMPLATE[LEFT_EYE_OUTER][0], TEMPLATE[LEFT_EYE_OUTER][1]


class Obstacle(NamedTuple):
    """One before each of N faces.

    Attributes:
        colours: `[N,3,S,S]` in 0..1.
        cover: `[N,1,S,S]`, the share of each pixel that it covers.
    """

    colours: Tensor
    cover: Tensor


class Surroundings(NamedTuple):
    """What an obstacle is drawn for.

    Attributes:
        points: `[N,S,S,2]` of the picture.
        in_face: `[N,S,S,2]`, the same in face heights from the face's centre.
        faces: `[N,3,S,S]` in 0..1.
        skin: `[N,3,1,1]`, its mean.
        others: `[N,3,S,S]`, faces that lend their textures.
    """

    points: Tensor
    in_face: Tensor
    faces: Tensor
    skin: Tensor
    others: Tensor


def hand(draw: Draw, scene: Surroundings) -> Obstacle:
    """A hand with an arm, fingers stretched or bent, in a tone of skin, sometimes in a sleeve or a glove."""
    limbs = _Limbs(draw, scene.points)
    angle = draw.even(math.pi)
    size = draw.between(0.55, 1.35)
    along, aside = _direction(angle), _direction(angle + math.pi / 2)
    aside = aside * (2 * draw.happens(0.5) - 1).reshape(-1, 1, 1, 1)
    knuckles = _points(draw.even(0.85, channels=2))
    reach = size.reshape(-1, 1, 1, 1)
    wrist = knuckles - along * 0.6 * reach
    limbs.add(wrist - along * 3, wrist, _ARM_RADIUS * 1.3 * size, _ARM_RADIUS * size)
    arm = limbs.cover
    limbs.add(wrist, knuckles - along * 0.12 * reach, 0.24 * size, _PALM_RADIUS * size)
    spread = draw.between(-0.03, 0.22)
    fist = draw.happens(0.35)
    for number in range(4):
        place = number - 1.5
        base = knuckles + aside * (place * _FINGERS_APART) * reach
        turn = angle + _sign(aside, along) * spread * place + draw.even(0.06)
        length = size * (_FINGER - 0.05 * place * place) * _stretch(draw)
        _finger(limbs, draw, base, turn, length, _FINGER_RADIUS * size, fist)
    thumb = knuckles - along * 0.3 * reach - aside * 0.22 * reach
    turn = angle - _sign(aside, along) * draw.between(0.2, 1.2)
    _finger(limbs, draw, thumb, turn, size * 0.5 * _stretch(draw), 1.15 * _FINGER_RADIUS * size, 0 * fist)
    tone = torch.lerp(scene.skin, scene.skin.roll(1, dims=0), draw.happens(0.2))
    tone = tone * (1 + draw.even(0.2)) * (1 + draw.even(0.05, channels=3))
    tone = torch.lerp(tone, draw.uniform(channels=3), draw.happens(0.07))
    # Most of a person's hands have the texture of their own face.
    lent = torch.lerp(scene.others, scene.faces, draw.happens(0.6))
    grain = _texture(draw, scene._replace(others=lent), zoom=(0.15, 0.4))
    grain = grain / grain.mean(dim=(2, 3), keepdim=True).clamp_min(0.05)
    sleeve = draw.uniform(channels=3) * draw.happens(0.5)
    clothed = arm * (limbs.cover - limbs.over) * (sleeve.amax(dim=1, keepdim=True) > 0)
    colours = torch.lerp(
        tone * torch.lerp(torch.ones_like(grain), grain, 0.7), sleeve.expand_as(grain), clothed
    )
    return Obstacle((colours * limbs.light).clamp(0, 1), limbs.cover)


def microphone(draw: Draw, scene: Surroundings) -> Obstacle:
    """A rod from beyond the picture, often with a head of foam or metal: also a bottle, a spoon, a pen."""
    limbs = _Limbs(draw, scene.points)
    angle = draw.even(math.pi)
    head = _points(draw.even(0.8, channels=2))
    along = _direction(angle)
    radius = draw.between(0.02, 0.14)
    limbs.add(head - along * 4, head, radius, radius)
    rod = draw.uniform(channels=3) * draw.uniform()
    ball = radius * draw.between(0.9, 2.4)
    ends = along * draw.between(0.0, 0.2).reshape(-1, 1, 1, 1)
    before = limbs.cover
    limbs.add(head - ends, head + ends, ball, ball)
    foam = 1 + draw.normal(1, *scene.points.shape[1:3]) * draw.between(0, 0.25)
    colours = torch.lerp(rod, draw.uniform(channels=3) * draw.uniform(), limbs.over) * foam
    colours = torch.where(before + limbs.over > 0, colours, rod)
    return Obstacle((colours * limbs.light).clamp(0, 1), limbs.cover)


def panel(draw: Draw, scene: Surroundings) -> Obstacle:
    """A cup, a telephone, paper, a scarf: something flat in one colour, striped or with a texture."""
    turn = _direction(draw.even(math.pi))
    half = _points(draw.between(0.15, 0.9, channels=2))
    # Most come in from an edge.
    centre = _points(draw.even(1.2, channels=2))
    offset = scene.points - centre
    across, along = _dot(offset, turn), _dot(offset, _turned(turn))
    scaled = torch.stack((across, along), dim=-1).abs() / half
    exponent = draw.between(2.0, 8.0)[:, 0]
    radius = scaled.clamp_min(1e-4).pow(exponent[..., None]).sum(dim=-1) ** (1 / exponent)
    cover = (((1 - radius) * half.amin(dim=-1)) / draw.between(0.02, 0.08)[:, 0] + 0.5).clamp(0, 1)[:, None]
    plain, second = draw.uniform(channels=3), draw.uniform(channels=3)
    stripes = (torch.sin(across[:, None] * draw.between(5, 40)) * 3).clamp(-0.5, 0.5) + 0.5
    colours = torch.lerp(plain, second, stripes * draw.happens(0.3))
    colours = torch.lerp(colours, _texture(draw, scene, zoom=(0.6, 1.6)), draw.happens(0.3))
    light = 1 + draw.even(0.3) * across[:, None] + draw.even(0.3) * along[:, None]
    return Obstacle((colours * light).clamp(0, 1), cover)


def glasses(draw: Draw, scene: Surroundings) -> Obstacle:
    """Rims, a bridge and temples where the eyes are; dark lenses hide them, clear ones do not."""
    at = scene.in_face
    x, y = at[..., 0].abs(), at[..., 1] - _EYE_Y - draw.even(0.02)[:, 0]
    half_x, half_y = draw.between(0.13, 0.17)[:, 0], draw.between(0.07, 0.13)[:, 0]
    exponent = draw.between(2.0, 5.0)[:, 0]
    across = ((x - _EYE_X).abs() / half_x).clamp_min(1e-4) ** exponent
    radius = (across + (y.abs() / half_y).clamp_min(1e-4) ** exponent) ** (1 / exponent)
    depth = (1 - radius) * torch.minimum(half_x, half_y)
    thick = draw.between(0.006, 0.02)[:, 0]
    rim = ((thick - depth.abs()) / 0.012 + 0.5).clamp(0, 1)
    beside = (x < _EYE_X - half_x) | (x > _EYE_X + half_x)
    bar = ((thick - (y + half_y * 0.35).abs()) / 0.012 + 0.5).clamp(0, 1) * beside
    lens = (depth / 0.012 + 0.5).clamp(0, 1) * draw.happens(0.4)[:, 0]
    rims = torch.maximum(rim, bar)[:, None]
    frame, dark = draw.uniform(channels=3) * draw.uniform(), draw.between(0, 0.25, channels=3)
    sheen = draw.happens(0.5) * draw.between(0, 0.5) * (at[..., 1:2].permute(0, 3, 1, 2) * -4).clamp(0, 1)
    colours = torch.lerp((dark + sheen).expand(-1, 3, -1, -1), frame.expand_as(scene.faces), rims)
    return Obstacle(colours.clamp(0, 1), torch.maximum(rims, lens[:, None]))


def strands(draw: Draw, scene: Surroundings) -> Obstacle:
    """Hair that falls from above or a side: a lock of it, and single strands."""
    angle = draw.even(math.pi)
    along, aside = _direction(angle), _direction(angle + math.pi / 2)
    root = _points(draw.even(0.9, channels=2))
    offset = scene.points - root
    down, across = _dot(offset, along), _dot(offset, aside)
    # One bend for all strands; each at its own place.
    across = across + draw.even(0.25)[:, 0] * (down * draw.between(1, 3)[:, 0]).sin()
    cover = torch.zeros_like(across)
    for _ in range(5):
        width = draw.between(0.006, 0.05)[:, 0]
        distance = (across - draw.even(0.3)[:, 0] - draw.even(0.1)[:, 0] * down).abs()
        cover = torch.maximum(cover, ((width - distance) / 0.02 + 0.5).clamp(0, 1) * draw.happens(0.7)[:, 0])
    lock = ((draw.between(0.05, 0.35)[:, 0] - across.abs()) / 0.08 + 0.5).clamp(0, 1) * draw.happens(0.5)[
        :, 0
    ]
    ends = ((draw.between(0.1, 1.2)[:, 0] - down) / 0.15 + 0.5).clamp(0, 1)
    cover = torch.maximum(cover * draw.between(0.6, 1)[:, 0], lock) * ends
    fibres = 1 + 0.35 * (across * draw.between(40, 120)[:, 0] + draw.even(math.pi)[:, 0]).sin()
    tone = draw.uniform() * torch.tensor([0.62, 0.48, 0.34], device=cover.device).reshape(1, 3, 1, 1)
    tone = tone * (1 + draw.even(0.3, channels=3)) + 0.03
    return Obstacle((tone * fibres[:, None]).clamp(0, 1), cover[:, None])


def moving(draw: Draw, obstacle: Obstacle) -> Obstacle:
    """A third of the obstacles as a shutter sees them that move."""
    way = _direction(draw.even(math.pi)) * (draw.happens(0.35) * draw.between(0.02, 0.3)).reshape(-1, 1, 1, 1)
    side = obstacle.cover.shape[-1]
    at = (torch.arange(side, device=way.device) + 0.5) * (2 / side) - 1
    points = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)
    # Colours count as much as they cover.
    both = torch.cat((obstacle.colours * obstacle.cover, obstacle.cover), dim=1)
    seen = torch.zeros_like(both)
    for step in range(_SHUTTER_STEPS):
        shifted = points + way * (step / (_SHUTTER_STEPS - 1) - 0.5)
        seen += functional.grid_sample(both, shifted, padding_mode="border", align_corners=False)
    cover = seen[:, 3:] / _SHUTTER_STEPS
    colours = torch.where(cover > 1e-3, seen[:, :3] / seen[:, 3:].clamp_min(1e-6), obstacle.colours)
    return Obstacle(colours.clamp(0, 1), cover.clamp(0, 1))


class _Limbs:
    """Rounded limbs, each over those before it, in light from one side.

    Attributes:
        cover: `[N,1,S,S]`, of all of them.
        over: `[N,1,S,S]`, of those after the first one.
        light: `[N,1,S,S]`, by which their colour is multiplied.
    """

    def __init__(self, draw: Draw, points: Tensor) -> None:
        self._points = points
        angle, height = draw.even(math.pi), draw.between(0.5, 1.0)
        self._towards = _direction(angle) * (1 - height**2).clamp_min(0).sqrt().reshape(-1, 1, 1, 1)
        self._height = height[:, 0]
        self._ambient = draw.between(0.3, 0.92)[:, 0]
        self._edge = draw.between(*_EDGE)[:, 0]
        self._crease = draw.between(0.05, 0.65)
        self.cover = torch.zeros_like(points[:, None, ..., 0])
        self.over = torch.zeros_like(self.cover)
        self.light = torch.ones_like(self.cover)
        self._count = 0

    def add(self, begin: Tensor, end: Tensor, begin_radius: Tensor, end_radius: Tensor) -> None:
        """A limb between two points `[N,1,1,2]`, whose radii are `[N,1,1,1]`."""
        axis, offset = end - begin, self._points - begin
        share = (_dot(offset, axis) / _dot(axis, axis).clamp_min(1e-6)).clamp(0, 1)
        offset = offset - share[..., None] * axis
        radius = torch.lerp(begin_radius[:, 0], end_radius[:, 0], share)
        distance = offset.norm(dim=-1)
        cover = ((radius - distance) / self._edge + 0.5).clamp(0, 1)[:, None]
        slope = offset / radius[..., None]
        slope = slope / slope.norm(dim=-1, keepdim=True).clamp_min(1.0)
        height = (1 - (slope**2).sum(dim=-1)).clamp_min(0).sqrt()
        facing = (_dot(slope, self._towards) + height * self._height).clamp_min(0)
        light = (self._ambient + (1 - self._ambient) * facing)[:, None]
        # Skin that lies close to skin is in its shade: the lines between fingers.
        near = ((radius + 0.05 - distance) / 0.05).clamp(0, 1)[:, None]
        self.light = torch.lerp(self.light * (1 - self._crease * near), light, cover)
        self.cover = torch.maximum(self.cover, cover)
        if self._count:
            self.over = torch.maximum(self.over, cover)
        self._count += 1


def _finger(
    limbs: _Limbs, draw: Draw, base: Tensor, angle: Tensor, length: Tensor, radius: Tensor, fist: Tensor
) -> None:
    """Two limbs; in a fist (1) the first is short and the second lies back over it."""
    length = torch.lerp(length, radius * draw.between(4, 7), fist)
    half = 0.5 * length.reshape(-1, 1, 1, 1)
    joint = base + _direction(angle) * half
    limbs.add(base, joint, radius * 1.1, radius)
    bend = draw.even(0.35)
    bend = torch.lerp(bend, math.pi + bend, fist)
    limbs.add(joint, joint + _direction(angle + bend) * half, radius, radius * (0.8 + 0.2 * fist))


def _stretch(draw: Draw) -> Tensor:
    """1 of a stretched finger, less of a bent one."""
    return torch.lerp(draw.between(0.1, 0.7), draw.between(0.85, 1.1), draw.happens(0.65))


def _texture(draw: Draw, scene: Surroundings, zoom: tuple[float, float]) -> Tensor:
    """Another face's cheek or more of it, turned and enlarged: `[N,3,S,S]`."""
    turn, scale = _direction(draw.even(math.pi)), draw.between(*zoom).reshape(-1, 1, 1, 1)
    centre = torch.tensor([0.35, 0.25], device=turn.device) + _points(draw.even(0.1, channels=2))
    at = torch.stack((_dot(scene.points, turn), _dot(scene.points, _turned(turn))), dim=-1) * scale + centre
    return functional.grid_sample(scene.others, at, padding_mode="reflection", align_corners=False)


def _points(pair: Tensor) -> Tensor:
    """`[N,2,1,1]` -> `[N,1,1,2]`."""
    return pair.reshape(-1, 1, 1, 2)


def _direction(angle: Tensor) -> Tensor:
    """Unit vectors `[N,1,1,2]` of angles `[N,1,1,1]`."""
    return torch.cat((angle.cos(), angle.sin()), dim=-1)


def _turned(vector: Tensor) -> Tensor:
    """By a right angle."""
    return torch.stack((-vector[..., 1], vector[..., 0]), dim=-1)


def _sign(aside: Tensor, along: Tensor) -> Tensor:
    """`[N,1,1,1]`: 1 where ``aside`` lies a right angle ahead of ``along``, else -1."""
    return _dot(aside, _turned(along)).sign()[..., None]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=-1)
