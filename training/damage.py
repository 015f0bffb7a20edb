"""What cameras, encoders and scalers do to a picture, done to a batch on its device.

A network that has met this damage in its input, with whole faces to draw, does
not pass it on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# ITU-T T.871 (JFIF), full range: rows give Y, Cb - 1/2, Cr - 1/2 of R, G, B; and back.
_TO_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
# ITU-T T.81, tables K.1 and K.2: steps of the 64 coefficients in 8-bit codes, row by row.
# fmt: off
_LUMA_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA_STEPS = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
)
# fmt: on
_BLOCK_PX = 8


def blurred(image: Tensor) -> Tensor:
    """`[N,C,H,W]`, twice the mean of 3x3."""
    once = functional.avg_pool2d(functional.pad(image, (2, 2, 2, 2), mode="replicate"), 3, stride=1)
    return functional.avg_pool2d(once, 3, stride=1)


def rescaled(image: Tensor, factor: Tensor) -> Tensor:
    """Scaled down by a factor and up again, each face by its own.

    Down by triangles as wide as the factor, up by linear interpolation, each
    axis as one matrix product, so that faces of all factors are one batch.

    Args:
        image: `[N,C,S,S]`.
        factor: `[N]`, at least 1, which leaves the picture as it is.
    """
    side = image.shape[-1]
    at = torch.arange(side, device=image.device, dtype=torch.float32) + 0.5
    factor = factor.reshape(-1, 1, 1)
    # Pixels as rows, and as columns the small picture's pixels, as many as the largest one can have.
    distance = at[:, None] / factor - at
    # Those that lie beyond the picture are left out; the border is held by the rest.
    inside = (at - 0.5) * factor < side
    down = _normed((1 - distance.abs()).clamp_min(0).mT * inside.mT)
    up = _normed((1 - distance.abs()).clamp_min(0) * inside)
    both = (up @ down)[:, None]
    return both @ image @ both.mT


def compressed(image: Tensor, quality: Tensor) -> Tensor:
    """As a JPEG encoder of 4:2:0 would leave it, entropy coding aside.

    Intra frames of video codecs quantise blocks of a cosine transform in the
    same way. Chroma comes back by linear interpolation.

    Args:
        image: `[N,3,H,W]` RGB in 0..1.
        quality: `[N]`, 1 to 100 on the scale of the Independent JPEG Group.

    Returns:
        `[N,3,H,W]` in 0..1.
    """
    height, width = image.shape[-2:]
    # Whole blocks of chroma too.
    right, below = -width % (2 * _BLOCK_PX), -height % (2 * _BLOCK_PX)
    padded = functional.pad(image, (0, right, 0, below), mode="replicate")
    ycbcr = _mixed(padded, _TO_YCBCR)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).reshape(-1, 1, 1)
    luma = _quantised(ycbcr[:, :1] - 0.5, scale, _LUMA_STEPS) + 0.5
    small = _quantised(functional.avg_pool2d(ycbcr[:, 1:], 2), scale, _CHROMA_STEPS)
    chroma = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = _mixed(torch.cat((luma, chroma), dim=1), _TO_RGB)
    return rgb[..., :height, :width].clamp(0, 1)


def _mixed(image: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """The channels of `[N,3,H,W]` through a matrix."""
    return torch.einsum("ij,njhw->nihw", torch.tensor(matrix, device=image.device), image)


def _normed(weight: Tensor) -> Tensor:
    return weight / weight.sum(dim=-1, keepdim=True).clamp_min(1e-6)


def _quantised(planes: Tensor, scale: Tensor, steps: tuple[int, ...]) -> Tensor:
    """Each 8x8 block of `[N,C,H,W]` through a DCT, to the next multiple of its steps, and back.

    Args:
        planes: around 0.
        scale: `[N,1,1]`, of the steps.
        steps: of the 64 coefficients.
    """
    count, channels, height, width = planes.shape
    rows, columns = height // _BLOCK_PX, width // _BLOCK_PX
    # A two-dimensional transform of a block is one product with a matrix of 64x64, which is quicker
    # than very many small ones.
    transform = _cosines(planes.device)
    transform = torch.kron(transform, transform)
    blocks = planes.reshape(count, channels, rows, _BLOCK_PX, columns, _BLOCK_PX).permute(0, 1, 2, 4, 3, 5)
    coefficients = blocks.reshape(count, -1, _BLOCK_PX**2) @ transform.T
    table = torch.tensor(steps, device=planes.device, dtype=torch.float32)
    # An encoder's steps are whole codes, and at least one.
    step = (table * scale + 0.5).floor().clamp(1, 255) / 255
    blocks = ((coefficients / step).round() * step) @ transform
    blocks = blocks.reshape(count, channels, rows, columns, _BLOCK_PX, _BLOCK_PX)
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(planes.shape)


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal DCT-II of 8 samples: `[8,8]`, frequencies as rows."""
    at = torch.arange(_BLOCK_PX, device=device, dtype=torch.float32)
    matrix = torch.cos(math.pi / _BLOCK_PX * at[:, None] * (at + 0.5)) * math.sqrt(2 / _BLOCK_PX)
    matrix[0] /= math.sqrt(2)
    return matrix
