"""What a drawn face is judged by: structure, colour, and the mask.

All functions take `[N,C,H,W]` tensors in 0..1 and compute in float32 even under
autocast: SSIM subtracts nearly equal moments, which bfloat16 cannot.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .augment import Batch

# Wang et al. 2004: K1, K2 for a dynamic range of 1, and the window's sigma as a share of its side.
_C1 = 0.01**2
_C2 = 0.03**2
_SIGMA_PER_SIDE = 1.5 / 11

DSSIM_WEIGHT = 2.0
L1_WEIGHT = 2.0
MASK_WEIGHT = 0.5

# Eyes and mouth carry the expression on few pixels.
PRIORITY_GAIN = 2.0
# The border is cut away by the mask, but a decoder that never learns it bleeds into its edge.
OUTSIDE_WEIGHT = 0.1


def window_px(size_px: int) -> int:
    """Side of the SSIM window for a face of ``size_px``: odd, about an eleventh, at least 3."""
    return max(3, int(size_px / 11.6) // 2 * 2 + 1)


def dssim(x: Tensor, y: Tensor, weight: Tensor, window: int) -> Tensor:
    """Structural dissimilarity, (1 - SSIM) / 2, averaged under ``weight``.

    SSIM as in Wang et al., "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, per channel with a Gaussian window.
    At the border the window is cut and normalised again.

    Args:
        x: `[N,C,H,W]`, carries the gradient.
        y: `[N,C,H,W]`.
        weight: `[N,1,H,W]`, at least 0.
        window: side in px, odd.

    Returns:
        A scalar in 0..1; 0 for equal pictures.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, y, weight = x.float(), y.float(), weight.float()
        rows = _gaussian(x.shape[2], window, x.device)
        columns = rows if x.shape[2] == x.shape[3] else _gaussian(x.shape[3], window, x.device)

        def blur(image: Tensor) -> Tensor:
            # Two small matrix products beat a depthwise convolution several times on CPUs.
            return rows @ image @ columns.T

        mean_x, mean_y = blur(x), blur(y)
        variance_x = blur(x * x) - mean_x * mean_x
        variance_y = blur(y * y) - mean_y * mean_y
        covariance = blur(x * y) - mean_x * mean_y
        ssim = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
            (mean_x * mean_x + mean_y * mean_y + _C1) * (variance_x + variance_y + _C2)
        )
        return _weighted_mean((1 - ssim) / 2, weight)


def masked_l1(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of `[N,C,H,W]` pictures under ``weight`` `[N,1,H,W]`: a scalar in 0..1."""
    return _weighted_mean((x.float() - y.float()).abs(), weight.float())


def mask_loss(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of masks `[N,1,H,W]`: a scalar in 0..1.

    L1 asks for the median, so the learned edge stays as sharp as the outline;
    squares or cross-entropy would ask for the mean and smear it.
    """
    return (x.float() - y.float()).abs().mean()


def face_loss(drawn: Tensor, batch: Batch) -> Tensor:
    """The loss of one person's faces.

    Args:
        drawn: `[N,4,S,S]` from a decoder: R, G, B, mask.
        batch: what was to be drawn.

    Returns:
        A scalar: DSSIM (from 128 px on at full and half size) + L1 + mask.
    """
    rgb, mask = drawn[:, :3], drawn[:, 3:]
    inside = batch.mask * (1 + PRIORITY_GAIN * batch.priority)
    size_px = rgb.shape[-1]
    window = window_px(size_px)
    structure = dssim(rgb, batch.target, inside, window)
    if size_px >= 128:
        half_rgb, half_target, half_inside = (
            functional.avg_pool2d(image.float(), 2) for image in (rgb, batch.target, inside)
        )
        structure = (structure + dssim(half_rgb, half_target, half_inside, window)) / 2
    colour = masked_l1(rgb, batch.target, inside + OUTSIDE_WEIGHT * (1 - batch.mask))
    return DSSIM_WEIGHT * structure + L1_WEIGHT * colour + MASK_WEIGHT * mask_loss(mask, batch.mask)


def _weighted_mean(image: Tensor, weight: Tensor) -> Tensor:
    return (image * weight).sum() / (weight.sum() * image.shape[1]).clamp_min(1e-6)


def _gaussian(side: int, window: int, device: torch.device) -> Tensor:
    """The blur along one axis as a matrix `[side,side]` whose rows sum to 1."""
    position = torch.arange(side, device=device, dtype=torch.float32)
    distance = position[:, None] - position[None, :]
    sigma = window * _SIGMA_PER_SIDE
    weight = torch.exp(-(distance**2) / (2 * sigma**2)) * (distance.abs() <= window // 2)
    return weight / weight.sum(dim=1, keepdim=True)
