"""From stored faces to one training batch: moved, warped, and graded anew.

The encoder sees a warped and regraded face and the decoder must draw the face
before that: this keeps a network of this kind from copying pixels through.
Everything is batched and runs where the pixels are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# ITU-R BT.709 luma, of gamma-encoded RGB as everywhere in training.
_LUMA = (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True)
class Augmentation:
    """How far a face may stray; amounts are the ends of even ranges around none.

    Attributes:
        rotation_deg: of input and target alike.
        scale: relative, of input and target alike.
        shift: in crop sides, of input and target alike.
        flip: probability of a mirrored face.
        warp: standard deviation of the offsets of the warp's 5x5 points, in crop sides; input only.
        gain: per channel, of input and target alike.
        gamma: log of the exponent, of input and target alike.
        input_gain: per channel, input only: with the next four it makes the encoder
            blind to how a clip is graded, so that one code serves both people.
        input_offset: per channel, input only.
        input_contrast: around mid grey, input only.
        grey: probability that an input is desaturated, by a random share.
        rough: probability each of a blurred and of a noisy input.
        noise: largest standard deviation of that noise.
    """

    rotation_deg: float = 6.0
    scale: float = 0.05
    shift: float = 0.03
    flip: float = 0.5
    warp: float = 2.0 / 64
    gain: float = 0.03
    gamma: float = 0.08
    input_gain: float = 0.12
    input_offset: float = 0.04
    input_contrast: float = 0.12
    grey: float = 0.5
    rough: float = 0.2
    noise: float = 0.03


class Batch(NamedTuple):
    """Faces of one person; all in 0..1.

    Attributes:
        input: `[N,3,S,S]` for the encoder.
        target: `[N,3,S,S]` that the decoder is to draw.
        mask: `[N,1,S,S]` where the face is.
        priority: `[N,1,S,S]` where eyes and mouth are.
    """

    input: Tensor
    target: Tensor
    mask: Tensor
    priority: Tensor


def augment(
    pixels: Tensor, span: float, size_px: int, random: torch.Generator, settings: Augmentation | None = None
) -> Batch:
    """Make a batch.

    Args:
        pixels: uint8 `[N,5,T,T]` as in `FaceStore`.
        span: side of the model's crop over T.
        size_px: side S of the faces to make.
        random: on the device of ``pixels``; every draw comes from it.
        settings: the default ones where None.
    """
    settings = settings or Augmentation()
    draw = _Draw(random, pixels.device, len(pixels))
    faces = pixels.float() / 255
    base = _pixel_centres(size_px, pixels.device).expand(len(pixels), -1, -1, -1)
    move, shift = _similarity(draw, settings)
    straight = (base @ move + shift) * span
    warped = ((base + _warp(draw, size_px, settings.warp)) @ move + shift) * span

    seen = functional.grid_sample(faces, straight, padding_mode="border", align_corners=False)
    source = functional.grid_sample(faces[:, :3], warped, padding_mode="border", align_corners=False)
    exponent = torch.exp(draw.even(settings.gamma))
    gain = 1 + draw.even(settings.gain, channels=3)
    target = (seen[:, :3].clamp_min(0) ** exponent * gain).clamp(0, 1)
    source = (source.clamp_min(0) ** exponent * gain).clamp(0, 1)
    source = _roughen(_regrade(source, draw, settings), draw, settings)
    return Batch(source.clamp(0, 1), target, seen[:, 3:4], seen[:, 4:5])


class _Draw:
    """Random numbers, one set a face."""

    def __init__(self, random: torch.Generator, device: torch.device, count: int) -> None:
        self.random = random
        self.device = device
        self.count = count

    def uniform(self, channels: int = 1) -> Tensor:
        """In 0..1: `[N,channels,1,1]`."""
        return torch.rand(self.count, channels, 1, 1, generator=self.random, device=self.device)

    def even(self, amount: float, channels: int = 1) -> Tensor:
        """In -amount..amount: `[N,channels,1,1]`."""
        return (self.uniform(channels) * 2 - 1) * amount

    def happens(self, probability: float) -> Tensor:
        """1 with this probability, else 0: `[N,1,1,1]`."""
        return (self.uniform() < probability).float()

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.random, device=self.device)


def _pixel_centres(size_px: int, device: torch.device) -> Tensor:
    """`[1,S,S,2]` x, y in -1..1 between the crop's edges, as `grid_sample` takes them."""
    centre = (torch.arange(size_px, device=device) + 0.5) * (2 / size_px) - 1
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    return torch.stack((x, y), dim=-1)[None]


def _similarity(draw: _Draw, settings: Augmentation) -> tuple[Tensor, Tensor]:
    """A matrix `[N,1,2,2]` to multiply row vectors with, and a shift `[N,1,1,2]`."""
    angle = draw.even(math.radians(settings.rotation_deg))
    scale = 1 + draw.even(settings.scale)
    mirror = 1 - 2 * draw.happens(settings.flip)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    to_x = torch.cat((cos * mirror, -sin * mirror), dim=-1)
    to_y = torch.cat((sin, cos), dim=-1)
    # The whole crop is 2 wide here.
    shift = draw.even(2 * settings.shift, channels=2).reshape(-1, 1, 1, 2)
    return torch.cat((to_x, to_y), dim=-2), shift


def _warp(draw: _Draw, size_px: int, sigma: float) -> Tensor:
    """Smooth random offsets `[N,S,S,2]` in -1..1 units."""
    points = draw.normal(2, 5, 5) * (2 * sigma)
    smooth = functional.interpolate(points, size=(size_px, size_px), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1)


def _regrade(image: Tensor, draw: _Draw, settings: Augmentation) -> Tensor:
    weights = torch.tensor(_LUMA, device=image.device).reshape(1, 3, 1, 1)
    luma = (image * weights).sum(dim=1, keepdim=True)
    image = torch.lerp(image, luma.expand_as(image), draw.happens(settings.grey) * draw.uniform())
    image = (image - 0.5) * (1 + draw.even(settings.input_contrast)) + 0.5
    image = image * (1 + draw.even(settings.input_gain, channels=3))
    return image + draw.even(settings.input_offset, channels=3)


def _roughen(image: Tensor, draw: _Draw, settings: Augmentation) -> Tensor:
    # Twice a 3x3 mean, mixed in by a random share.
    blurred = functional.avg_pool2d(functional.pad(image, (2, 2, 2, 2), mode="replicate"), 3, stride=1)
    blurred = functional.avg_pool2d(blurred, 3, stride=1)
    image = torch.lerp(image, blurred, draw.happens(settings.rough) * draw.uniform())
    sigma = draw.happens(settings.rough) * draw.uniform() * settings.noise
    return image + sigma * draw.normal(*image.shape[1:])
