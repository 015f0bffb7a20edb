"""The network in the form that it draws with: the same picture, less work.

Training wants plain layers; a runtime wants work that fits the machine. Every change here is an
identity of algebra, so that forms differ by rounding alone.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import LEAKY_SLOPE, Down, Residual, Upscale, pixel_norm
from .models import Decoder, Encoder, FaceNetwork, Person, SharedAutoencoder
from .presets import Preset
from .winograd import WinogradConv


class Direct(nn.Module):
    """Encoder and one decoder in convolutions: for GPUs, and to be quantised.

    `face` `[N,3,S,S]` in 0..1 -> `swapped` `[N,3,S,S]` and `mask` `[N,1,S,S]` in 0..1.

    Args:
        network: as trained.
        person: who is drawn.
        morph: how much so, 0..1, where the network's family can.
    """

    def __init__(self, network: FaceNetwork, person: Person, morph: float = 1.0) -> None:
        super().__init__()
        self.network, self.person, self.morph = network, person, morph
        stages, last, self.output, self.shuffles = _ending(network.decoder(person))
        self.inner = nn.Sequential(*stages)
        self.last = last.conv if last else None

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor]:
        return self.draw(self.network.decoder_map(face, self.person, self.morph), face.dtype)

    def draw(self, decoder_map: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Face and mask, of what the layers before the decoder made of a face."""
        x = self.inner(decoder_map)
        if self.last is not None:
            x = functional.leaky_relu(self.last(x), LEAKY_SLOPE)
        return _picture(self.output(x), self.shuffles, dtype)


class Winograd(nn.Module):
    """The same in fewer multiplications, for processors: inner maps are `[H,W,N,C]`."""

    def __init__(self, network: SharedAutoencoder, person: Person) -> None:
        super().__init__()
        preset, decoder = network.preset, network.decoder(person)
        if not winograd_fits(preset):
            raise ValueError(f"{preset.name} has layers that have no Winograd form")
        convs = [cast(Down, conv) for conv in network.encoder.down]
        # The first has three channels only, and a stride of 2 takes back what kernels below 5 px would gain.
        plain = 1 if preset.encoder_kernel == 5 else len(convs)
        side_px = preset.size_px >> plain
        self.plain = nn.Sequential(*convs[:plain])
        self.down = nn.ModuleList()
        for conv in convs[plain:]:
            side_px //= 2
            self.down.append(_Down(conv, side_px))
        self.to_latent, self.from_latent = _position_major(network.encoder, side_px)
        self.pixel_norm = preset.pixel_norm
        self.bottom = (preset.bottom_px, preset.bottom_px, preset.bottom_channels)
        side_px = preset.bottom_px
        inner: list[nn.Module] = []
        stages, last, self.output, self.shuffles = _ending(decoder)
        for stage in (network.encoder.up, *stages):
            if isinstance(stage, Upscale):
                inner.append(_Up(stage.conv, side_px))
                side_px *= 2
            else:
                inner.append(_Residual(cast(Residual, stage), side_px))
        self.inner = nn.Sequential(*inner)
        self.last = _winograd(last.conv, side_px) if last else None

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor]:
        x = self.plain(face).permute(2, 3, 0, 1)
        for conv in self.down:
            x = conv(x)
        x = x.permute(2, 0, 1, 3).flatten(1)
        x = self.from_latent(self.to_latent(pixel_norm(x) if self.pixel_norm else x))
        x = self.inner(x.reshape(-1, *self.bottom).permute(1, 2, 0, 3))
        if self.last is not None:
            x = functional.leaky_relu(self.last(x), LEAKY_SLOPE)
        return _picture(self.output(x.permute(2, 3, 0, 1)), self.shuffles, face.dtype)


def winograd_fits(preset: Preset) -> bool:
    """Whether a preset has layers that `Winograd` knows."""
    return preset.block == "classic" and preset.family == "df" and preset.encoder_residual_stages == 0


def winograd_pays(preset: Preset) -> bool:
    """Whether `Winograd` is known to be the faster form on a processor: where small maps have wide layers.

    Measured: `original-64` takes two thirds of the time, `fast-128` as long as before. Larger networks have
    not been measured; their kernels would take four times the memory.
    """
    return winograd_fits(preset) and preset.encoder_kernel == 5 and preset.size_px <= 64


class _Down(nn.Module):
    """5x5 and stride 2, as 3x3 on the four phases of the map: `[2H,2W,N,C]` -> `[H,W,N,K]`."""

    def __init__(self, conv: nn.Conv2d, side_px: int) -> None:
        super().__init__()
        outputs, inputs = conv.weight.shape[:2]
        # Tap 2t + r of the kernel is tap t on phase r; tap 5 does not exist.
        taps = functional.pad(conv.weight.data, (0, 1, 0, 1)).reshape(outputs, inputs, 3, 2, 3, 2)
        phases = taps.permute(0, 3, 5, 1, 2, 4).reshape(outputs, 4 * inputs, 3, 3)
        self.conv = WinogradConv(phases, _bias(conv), side_px)
        self.split = (side_px, 2, side_px, 2, -1, inputs)
        self.joined = (side_px, side_px, -1, 4 * inputs)

    def forward(self, x: Tensor) -> Tensor:
        phases = x.reshape(self.split).permute(0, 2, 4, 1, 3, 5).reshape(self.joined)
        return functional.leaky_relu(self.conv(phases), LEAKY_SLOPE)


class _Up(nn.Module):
    """Convolution to four phases, which are then laid side by side: `[H,W,N,C]` -> `[2H,2W,N,K]`."""

    def __init__(self, conv: nn.Conv2d, side_px: int) -> None:
        super().__init__()
        channels = conv.out_channels // 4
        # Phases outermost: what is moved when they are laid out is then whole rows of channels.
        order = torch.arange(4 * channels).reshape(channels, 4).t().flatten()
        self.conv = WinogradConv(conv.weight.data[order], _bias(conv)[order], side_px)
        self.split = (side_px, side_px, -1, 2, 2, channels)
        self.joined = (2 * side_px, 2 * side_px, -1, channels)

    def forward(self, x: Tensor) -> Tensor:
        phases = functional.leaky_relu(self.conv(x), LEAKY_SLOPE).reshape(self.split)
        return phases.permute(0, 3, 1, 4, 2, 5).reshape(self.joined)


class _Residual(nn.Module):
    def __init__(self, residual: Residual, side_px: int) -> None:
        super().__init__()
        self.first, self.second = _winograd(residual.first, side_px), _winograd(residual.second, side_px)

    def forward(self, x: Tensor) -> Tensor:
        change = self.second(functional.leaky_relu(self.first(x), LEAKY_SLOPE))
        return functional.leaky_relu(x + change, LEAKY_SLOPE)


def _winograd(conv: nn.Conv2d, side_px: int) -> WinogradConv:
    return WinogradConv(conv.weight.data, _bias(conv), side_px)


def _bias(conv: nn.Conv2d | nn.Linear) -> Tensor:
    return cast(Tensor, conv.bias).data


def _ending(decoder: Decoder) -> tuple[list[nn.Module], Upscale | None, nn.Conv2d, int]:
    """A decoder's stages, the upscale before its output if that is one, the output, its depth to spaces."""
    *stages, last = decoder.stages
    doubled = decoder.enlarge // 2
    if isinstance(last, Upscale):
        return stages, last, _on_the_smaller_map(decoder.output), 1 + doubled
    return [*stages, last], None, decoder.output, doubled


def _on_the_smaller_map(output: nn.Conv2d) -> nn.Conv2d:
    """The convolution after an upscale as one before it: its four phases are outputs of their own.

    A runtime computes 16 outputs in the time of 4, and four outputs are laid out instead of all channels.
    """
    channels, inputs, kernel_px, _ = output.weight.shape
    # Where the kernel's taps fall, from either phase, in px of the smaller map.
    taps = (torch.arange(2)[:, None] + torch.arange(kernel_px) - kernel_px // 2).tolist()
    reach = -min(taps[0]) + 1 >> 1
    side_px = 2 * reach + 1
    weight = torch.zeros(channels, 2, 2, inputs, 2, 2, side_px, side_px)
    for phase_y in range(2):
        for phase_x in range(2):
            for tap_y, y in enumerate(taps[phase_y]):
                for tap_x, x in enumerate(taps[phase_x]):
                    weight[:, phase_y, phase_x, :, y % 2, x % 2, y // 2 + reach, x // 2 + reach] = (
                        output.weight.data[:, :, tap_y, tap_x]
                    )
    smaller = nn.Conv2d(4 * inputs, 4 * channels, side_px, padding=reach)
    smaller.weight.data = weight.reshape(4 * channels, 4 * inputs, side_px, side_px)
    smaller.bias = nn.Parameter(_bias(output).repeat_interleave(4))
    return smaller


def _position_major(encoder: Encoder, side_px: int) -> tuple[nn.Linear, nn.Linear]:
    """The dense layers, for maps that are flattened with their channels innermost."""
    to_latent, from_latent = encoder.to_latent, encoder.from_latent
    before = nn.Linear(to_latent.in_features, to_latent.out_features)
    before.weight.data = (
        to_latent.weight.data.reshape(to_latent.out_features, -1, side_px**2).transpose(1, 2).flatten(1)
    )
    before.bias.data = _bias(to_latent)
    channels, height, width = encoder.bottom
    after = nn.Linear(from_latent.in_features, from_latent.out_features)
    order = torch.arange(from_latent.out_features).reshape(channels, height * width).t().flatten()
    after.weight.data, after.bias.data = from_latent.weight.data[order], _bias(from_latent)[order]
    return before, after


def _picture(outputs: Tensor, shuffles: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    # A picture has more levels than half precision near 1: the last function is float32's.
    drawn = torch.sigmoid(outputs.float())
    for _ in range(shuffles):
        drawn = functional.pixel_shuffle(drawn, 2)
    drawn = drawn.to(dtype)
    return drawn[:, :3], drawn[:, 3:]
