"""The autoencoders: one encoder for two people, a decoder for each.

A network is a row of `PRESETS`. All of them are one shape, the classic one:
strided convolutions, two dense layers around the latent code, one upscale in
the encoder, then upscales in the decoder; the last convolution gives R, G, B
and the mask as a fourth channel, which costs next to nothing where a decoder
of its own would add about half the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Person = Literal["a", "b"]

LEAKY_SLOPE = 0.1


@dataclass(frozen=True)
class Preset:
    """A network, layer by layer.

    Attributes:
        name: what ``--preset`` takes.
        size_px: side S of the square face, input and output.
        encoder_widths: channels after each stride-2 convolution.
        encoder_kernel: side of those convolutions.
        latent: length of the code.
        bottom_px: side of the map that the code is expanded to.
        bottom_channels: its channels.
        inter_channels: channels after the encoder's own upscale.
        decoder_widths: channels after each upscale of a decoder.
        residual_stages: how many of a decoder's first upscales are followed by a residual block.
        output_kernel: side of the last convolution.
        coverage: side of the crop over the height of the mean face.
        batch: faces of each person in one step.
        learning_rate: Adam's, after warm-up.
    """

    name: str
    size_px: int
    encoder_widths: tuple[int, ...]
    encoder_kernel: int
    latent: int
    bottom_px: int
    bottom_channels: int
    inter_channels: int
    decoder_widths: tuple[int, ...]
    residual_stages: int
    output_kernel: int
    coverage: float
    batch: int
    learning_rate: float


PRESETS = {
    preset.name: preset
    for preset in (
        # The classic: the network that every tool of this kind descends from.
        Preset(
            name="original-64",
            size_px=64,
            encoder_widths=(128, 256, 512, 1024),
            encoder_kernel=5,
            latent=1024,
            bottom_px=4,
            bottom_channels=1024,
            inter_channels=512,
            decoder_widths=(256, 128, 64),
            residual_stages=0,
            output_kernel=5,
            coverage=1.2,
            batch=16,
            learning_rate=5e-5,
        ),
        # Small enough to train on a laptop's processor in an hour and to ship as a sample.
        Preset(
            name="fast-128",
            size_px=128,
            encoder_widths=(32, 64, 128, 192, 256),
            encoder_kernel=3,
            latent=256,
            bottom_px=4,
            bottom_channels=192,
            inter_channels=128,
            decoder_widths=(144, 96, 56, 32),
            residual_stages=2,
            output_kernel=3,
            coverage=1.2,
            batch=8,
            learning_rate=5e-4,
        ),
    )
}


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


class Encoder(nn.Module):
    """`[N,3,S,S]` in 0..1 -> `[N,inter_channels,2*bottom_px,2*bottom_px]`."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.bottom = (preset.bottom_channels, preset.bottom_px, preset.bottom_px)
        widths = (3, *preset.encoder_widths)
        kernel = preset.encoder_kernel
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, kernel, stride=2, padding=kernel // 2) for a, b in pairwise(widths)
        )
        side = preset.size_px >> len(preset.encoder_widths)
        flat = preset.encoder_widths[-1] * side * side
        self.to_latent = nn.Linear(flat, preset.latent)
        self.from_latent = nn.Linear(preset.latent, preset.bottom_channels * preset.bottom_px**2)
        self.up = Upscale(preset.bottom_channels, preset.inter_channels)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.down:
            x = functional.leaky_relu(conv(x), LEAKY_SLOPE)
        x = self.from_latent(self.to_latent(x.flatten(1)))
        expanded: Tensor = self.up(x.reshape(-1, *self.bottom))
        return expanded


class Decoder(nn.Module):
    """Encoder's map -> `[N,4,S,S]` in 0..1: R, G, B and the mask."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        widths = (preset.inter_channels, *preset.decoder_widths)
        stages: list[nn.Module] = []
        for stage, (a, b) in enumerate(pairwise(widths)):
            stages.append(Upscale(a, b))
            if stage < preset.residual_stages:
                stages.append(Residual(b))
        self.stages = nn.Sequential(*stages)
        kernel = preset.output_kernel
        self.output = nn.Conv2d(widths[-1], 4, kernel, padding=kernel // 2)
        # The mask begins open, so that the first previews and conversions show a face at all.
        nn.init.constant_(cast(Tensor, self.output.bias)[3:], 2.0)

    def forward(self, x: Tensor) -> Tensor:
        # A picture has more levels than bfloat16: leave autocast before the last function.
        return torch.sigmoid(self.output(self.stages(x)).float())


class SharedAutoencoder(nn.Module):
    """One encoder, decoders A and B. Crossing them is the whole trick of the method."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        self.encoder = Encoder(preset)
        self.decoder_a = Decoder(preset)
        self.decoder_b = Decoder(preset)

    def decoder(self, person: Person) -> Decoder:
        return self.decoder_a if person == "a" else self.decoder_b

    def forward(self, face: Tensor, person: Person) -> Tensor:
        """`[N,3,S,S]` RGB 0..1 -> `[N,4,S,S]` RGB and mask, drawn by ``person``'s decoder."""
        drawn: Tensor = self.decoder(person)(self.encoder(face))
        return drawn


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
