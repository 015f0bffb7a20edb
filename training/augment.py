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

from .damage import blurred, compressed, rescaled
from .draw import Draw
from .face_points import FacePoints
from .occluders import Occluders

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
        occlude: probability that something lies before the face; of input and mask.
        rescale: probability of an input that was scaled down and up again.
        rescale_factor: the largest.
        compress: probability of an input that a lossy encoder has had.
        quality: ends of the range of that encoder's quality; see `compressed`.
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
    occlude: float = 0.1
    rescale: float = 0.1
    rescale_factor: float = 2.5
    compress: float = 0.1
    quality: tuple[float, float] = (25.0, 90.0)


class Batch(NamedTuple):
    """Faces of one person; all in 0..1.

    Attributes:
        input: `[N,3,S,S]` for the encoder.
        target: `[N,3,S,S]` that the decoder is to draw.
        mask: `[N,1,S,S]` where the face is.
        priority: `[N,1,S,S]` where eyes and mouth are.
        points: of the target; None where they are not known.
    """

    input: Tensor
    target: Tensor
    mask: Tensor
    priority: Tensor
    points: FacePoints | None = None


def augment(
    pixels: Tensor,
    span: float,
    size_px: int,
    random: torch.Generator,
    settings: Augmentation | None = None,
    points: FacePoints | None = None,
) -> Batch:
    """Make a batch.

    Args:
        pixels: uint8 `[N,5,T,T]` as in `FaceStore`.
        span: side of the model's crop over T.
        size_px: side S of the faces to make.
        random: on the device of ``pixels``; every draw comes from it.
        settings: the default ones where None.
        points: of these pictures, to be moved as they are.
    """
    settings = settings or Augmentation()
    draw = Draw(random, pixels.device, len(pixels))
    faces = pixels.float() / 255
    base = _pixel_centres(size_px, pixels.device).expand(len(pixels), -1, -1, -1)
    move, shift = _similarity(draw, settings)
    straight = base @ move + shift
    warped = (base + _warp(draw, size_px, settings.warp)) @ move + shift

    seen = _sampled(faces, straight * span)
    target, mask, eyes_and_mouth = seen[:, :3], seen[:, 3:4], seen[:, 4:]
    source = _sampled(faces[:, :3], warped * span)
    exponent = torch.exp(draw.even(settings.gamma))
    gain = 1 + draw.even(settings.gain, channels=3)
    target = (target.clamp_min(0) ** exponent * gain).clamp(0, 1)
    if settings.occlude:
        # Before the face they move with it; the decoder draws on what is under them, unasked by the mask.
        occluders = Occluders(draw, faces, settings.occlude, span)
        source = torch.lerp(source, occluders.colours(warped), occluders.cover(warped))
        mask = mask * (1 - occluders.cover(straight))
    source = (source.clamp_min(0) ** exponent * gain).clamp(0, 1)
    source = _roughen(_regrade(source, draw, settings), draw, settings).clamp(0, 1)
    if points is not None:
        points = points.moved(move[:, 0], shift[:, 0, 0], span)
    return Batch(_damaged(source, draw, settings), target, mask, eyes_and_mouth, points)


def _sampled(faces: Tensor, points: Tensor) -> Tensor:
    return functional.grid_sample(faces, points, padding_mode="border", align_corners=False)


def _pixel_centres(size_px: int, device: torch.device) -> Tensor:
    """`[1,S,S,2]` x, y in -1..1 between the crop's edges, as `grid_sample` takes them."""
    centre = (torch.arange(size_px, device=device) + 0.5) * (2 / size_px) - 1
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    return torch.stack((x, y), dim=-1)[None]


def _similarity(draw: Draw, settings: Augmentation) -> tuple[Tensor, Tensor]:
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


def _warp(draw: Draw, size_px: int, sigma: float) -> Tensor:
    """Smooth random offsets `[N,S,S,2]` in -1..1 units."""
    points = draw.normal(2, 5, 5) * (2 * sigma)
    smooth = functional.interpolate(points, size=(size_px, size_px), mode="bicubic", align_corners=True)
    return smooth.permute(0, 2, 3, 1)


def _regrade(image: Tensor, draw: Draw, settings: Augmentation) -> Tensor:
    weights = torch.tensor(_LUMA, device=image.device).reshape(1, 3, 1, 1)
    luma = (image * weights).sum(dim=1, keepdim=True)
    image = torch.lerp(image, luma.expand_as(image), draw.happens(settings.grey) * draw.uniform())
    image = (image - 0.5) * (1 + draw.even(settings.input_contrast)) + 0.5
    image = image * (1 + draw.even(settings.input_gain, channels=3))
    return image + draw.even(settings.input_offset, channels=3)


def _roughen(image: Tensor, draw: Draw, settings: Augmentation) -> Tensor:
    image = torch.lerp(image, blurred(image), draw.happens(settings.rough) * draw.uniform())
    sigma = draw.happens(settings.rough) * draw.uniform() * settings.noise
    return image + sigma * draw.normal(*image.shape[1:])


def _damaged(image: Tensor, draw: Draw, settings: Augmentation) -> Tensor:
    if settings.rescale:
        factor = 1 + draw.happens(settings.rescale) * draw.between(0, settings.rescale_factor - 1)
        image = rescaled(image, factor.flatten()).clamp(0, 1)
    if settings.compress:
        quality = draw.between(*settings.quality)
        image = torch.where(draw.happens(settings.compress) > 0, compressed(image, quality.flatten()), image)
    return image
