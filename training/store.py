"""A faceset, decoded once into one tensor on the training device.

Reading and decoding pictures at every step is what starves trainers of this
kind; a faceset of a thousand faces is but a few hundred megabytes as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..engine.errors import BadInputError
from ..engine.face.align import LEFT_EYE, LIPS, RIGHT_EYE
from ..engine.review.png import read_png
from ..engine.swap.mask import fill, hull
from .faceset import Faceset
from .presets import Preset
from .seeds import generator

# How far the priority of eyes and mouth reaches around them, in sides of the model's crop.
_PRIORITY_MARGIN = 0.03


@dataclass(frozen=True)
class FaceStore:
    """All faces of one person.

    Attributes:
        pixels: uint8 `[N,5,T,T]`: R, G, B, face mask, priority of eyes and mouth; 255 is 1.
        span: side of the model's crop over the side of the stored crop; both have one centre.
    """

    pixels: Tensor
    span: float

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def draw(self, step: int, count: int, seed: int, stream: int) -> Tensor:
        """The faces of one step: uint8 `[count,5,T,T]`.

        Every face is shown once before any is shown again: an epoch is a
        permutation that follows from (seed, stream, epoch) alone, so that a
        resumed run needs no more than its step number.
        """
        first = step * count
        order = torch.cat(
            [
                torch.randperm(len(self), generator=generator(seed, stream, epoch))
                for epoch in range(first // len(self), (first + count - 1) // len(self) + 1)
            ]
        )
        start = first % len(self)
        return self.pixels[order[start : start + count].to(self.pixels.device)]

    def centred(self, index: list[int], size_px: int) -> Tensor:
        """Faces as the model will meet them, not warped: float32 `[len(index),5,S,S]` in 0..1."""
        faces = self.pixels[index].float() / 255
        theta = torch.eye(2, 3, device=faces.device).mul_(self.span).expand(len(index), 2, 3)
        grid = functional.affine_grid(theta, [len(index), 1, size_px, size_px], align_corners=False)
        return functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)


def load_store(faceset: Faceset, preset: Preset, device: torch.device) -> FaceStore:
    """Decode a faceset at the size at which the model's crop is ``preset.size_px`` wide.

    Raises:
        BadInputError: no faces, crops cut tighter than the model's, or a damaged picture.
        InputMissingError: a picture is missing.
    """
    if not faceset.records:
        raise BadInputError(f"{faceset.folder}: holds no faces: extract them from a clip first")
    span = preset.coverage / faceset.coverage
    if span > 1:
        raise BadInputError(
            f"{faceset.folder}: crops cover {faceset.coverage:g} face heights, but {preset.name} sees "
            f"{preset.coverage:g}: extract again with a larger coverage"
        )
    side_px = round(preset.size_px / span)
    pixels = torch.empty(len(faceset.records), 5, side_px, side_px, dtype=torch.uint8)
    for row, record in zip(pixels, faceset.records, strict=True):
        path = faceset.folder / record.file
        picture = read_png(path)
        if picture.shape != (faceset.size_px, faceset.size_px, 3):
            raise BadInputError(
                f"{path}: is {picture.shape[1]}x{picture.shape[0]}, not {faceset.size_px} px square "
                "as its faceset says: extract again"
            )
        row[:3] = _resized(picture, side_px)
        landmarks = record.crop_landmarks().astype(np.float64) * (side_px / faceset.size_px)
        row[3] = _as_bytes(hull(landmarks, side_px))
        row[4] = _as_bytes(priority(landmarks, side_px, _PRIORITY_MARGIN * preset.size_px))
    return FaceStore(pixels.to(device), span)


def priority(landmarks: NDArray[np.float64], side_px: int, margin_px: float) -> NDArray[np.float32]:
    """Where eyes and mouth are: float32 `[side_px,side_px]` in 0..1.

    Args:
        landmarks: `[468,2]` px of the picture.
        side_px: of the picture.
        margin_px: how far around lids and lips it reaches.
    """
    angle = np.arange(8) * (2 * np.pi / 8)
    around = np.stack((np.cos(angle), np.sin(angle)), axis=1) * margin_px
    regions = [landmarks[list(region)] for region in (LEFT_EYE, RIGHT_EYE, LIPS)]
    filled = [fill((points[:, None] + around).reshape(-1, 2), side_px) for points in regions]
    anywhere: NDArray[np.float32] = np.maximum.reduce(filled)
    return anywhere


def _resized(picture: NDArray[np.uint8], side_px: int) -> Tensor:
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    size = (side_px, side_px)
    resized = functional.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)
    return resized[0].round().clamp(0, 255).to(torch.uint8)


def _as_bytes(image: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.round(image * 255).astype(np.uint8))
