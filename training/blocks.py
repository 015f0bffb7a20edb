"""The layers that networks are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAKY_SLOPE = 0.1
# Layers that add to what goes through them begin small: without norms a deep row of them would burst.
_FIRST_SCALE = 0.1
_EXPANSION = 4
_DEPTHWISE_PX = 7


class Down(nn.Conv2d):
    """Convolution of stride 2: `[N,C,2H,2W]` -> `[N,C',H,W]`."""

    def __init__(self, channels_in: int, channels_out: int, kernel_px: int) -> None:
        super().__init__(channels_in, channels_out, kernel_px, stride=2, padding=kernel_px // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(super().forward(x), LEAKY_SLOPE)


class Upscale(nn.Module):
    """Convolution to four times the channels, then depth to space: `[N,C,H,W]` -> `[N,C',2H,2W]`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out * 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(functional.leaky_relu(self.conv(x), LEAKY_SLOPE), 2)


class Residual(nn.Module):
    """Two 3x3 convolutions and a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        change = self.second(functional.leaky_relu(self.first(x), LEAKY_SLOPE))
        return functional.leaky_relu(x + change, LEAKY_SLOPE)


class SmoothDown(nn.Module):
    """Convolution, then a quarter of the samples behind a low-pass: `[N,C,2H,2W]` -> `[N,C',H,W]`.

    A stride alone folds what is finer than the new grid into it, so that a face that moves by a pixel
    changes its code; see Zhang, "Making convolutional networks shift-invariant again", ICML 2019.
    """

    low_pass: Tensor

    def __init__(self, channels_in: int, channels_out: int, kernel_px: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_px, padding=kernel_px // 2)
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("low_pass", torch.outer(row, row)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.conv(x), LEAKY_SLOPE)
        channels = x.shape[1]
        low_pass = self.low_pass.to(x.dtype).expand(channels, 1, 4, 4)
        return functional.conv2d(x, low_pass, stride=2, padding=1, groups=channels)


class SmoothUp(nn.Module):
    """Pointwise convolution, then twice the size by linear interpolation: `[N,C,H,W]` -> `[N,C',2H,2W]`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.conv(x), LEAKY_SLOPE)
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class WideResidual(nn.Module):
    """A wide depthwise convolution, two pointwise ones, and a skip, without a norm.

    The layout of Liu et al., "A ConvNet for the 2020s", CVPR 2022, whose layer norm is left to the scale
    that each channel learns: it costs nothing and does not depend on the rest of the picture.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, _DEPTHWISE_PX, padding=_DEPTHWISE_PX // 2, groups=channels
        )
        self.widen = nn.Conv2d(channels, _EXPANSION * channels, 1)
        self.narrow = nn.Conv2d(_EXPANSION * channels, channels, 1)
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), _FIRST_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        change = self.narrow(functional.leaky_relu(self.widen(self.depthwise(x)), LEAKY_SLOPE))
        # Under autocast the scale would lift every map to float32.
        changed: Tensor = x + self.scale.to(x.dtype) * change
        return changed


def pixel_norm(x: Tensor) -> Tensor:
    """`[N,C]` scaled to a mean square of 1 each; in float32, for sums of squares leave half precision."""
    wide = x.float()
    scaled: Tensor = wide * torch.rsqrt(wide.square().mean(dim=1, keepdim=True) + 1e-6)
    return scaled.to(x.dtype)
