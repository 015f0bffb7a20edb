"""The autoencoders: what is common to two people, and what draws each of them.

A network is a row of `PRESETS`. All of them have one shape, the classic one: convolutions that halve the
picture, two dense layers around the code, an upscale, then upscales in the decoder; the last convolution
gives R, G, B and the mask as a fourth channel, which costs next to nothing where a decoder of its own would
add about half the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import Down, Residual, SmoothDown, SmoothUp, Upscale, WideResidual, pixel_norm
from .presets import Preset

Person = Literal["a", "b"]


class Inter(nn.Module):
    """The dense layers around the code, and the first upscale.

    Args:
        preset: the network.
        down: layers before them: none where they are shared with another `Inter`.
    """

    def __init__(self, preset: Preset, down: Iterable[nn.Module] = ()) -> None:
        super().__init__()
        self.bottom = (preset.bottom_channels, preset.bottom_px, preset.bottom_px)
        self.pixel_norm = preset.pixel_norm
        self.down = nn.ModuleList(down)
        side = preset.size_px >> len(preset.encoder_widths)
        flat = preset.encoder_widths[-1] * side * side
        self.to_latent = nn.Linear(flat, preset.latent)
        self.from_latent = nn.Linear(preset.latent, preset.bottom_channels * preset.bottom_px**2)
        self.up = _up(preset, preset.bottom_channels, preset.inter_channels)

    def code(self, x: Tensor) -> Tensor:
        """`[N,3,S,S]` in 0..1, or the shared layers' map -> `[N,latent]`."""
        for stage in self.down:
            x = stage(x)
        x = x.flatten(1)
        code: Tensor = self.to_latent(pixel_norm(x) if self.pixel_norm else x)
        return code

    def expand(self, code: Tensor) -> Tensor:
        """`[N,latent]` -> `[N,inter_channels,2*bottom_px,2*bottom_px]`."""
        expanded: Tensor = self.up(self.from_latent(code).reshape(-1, *self.bottom))
        return expanded

    def forward(self, x: Tensor) -> Tensor:
        return self.expand(self.code(x))


class Encoder(Inter):
    """`[N,3,S,S]` in 0..1 -> `[N,inter_channels,2*bottom_px,2*bottom_px]`."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset, _downs(preset))


class Decoder(nn.Module):
    """Map of one `Inter`, or of two -> `[N,4,S,S]` in 0..1: R, G, B and the mask."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        inters = 2 if preset.family == "liae" else 1
        widths = (inters * preset.inter_channels, *preset.decoder_widths)
        stages: list[nn.Module] = []
        for stage, (a, b) in enumerate(pairwise(widths)):
            stages.append(_up(preset, a, b))
            if stage < preset.residual_stages:
                stages.extend(_residuals(preset, b))
        self.stages = nn.Sequential(*stages)
        self.enlarge = 2 if preset.double_output else 1
        kernel = preset.output_kernel
        self.output = nn.Conv2d(widths[-1], 4 * self.enlarge**2, kernel, padding=kernel // 2)
        # The mask begins open, so that the first previews and conversions show a face at all.
        nn.init.constant_(cast(Tensor, self.output.bias)[3 * self.enlarge**2 :], 2.0)

    def forward(self, x: Tensor) -> Tensor:
        # A picture has more levels than bfloat16: leave autocast before the last function.
        drawn = torch.sigmoid(self.output(self.stages(x)).float())
        return drawn if self.enlarge == 1 else functional.pixel_shuffle(drawn, self.enlarge)


class FaceNetwork(nn.Module):
    """What all families can do. Crossing two people is the whole trick of the method."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.preset = preset

    def decoder(self, person: Person) -> Decoder:
        """The one that draws ``person``."""
        raise NotImplementedError

    def code(self, face: Tensor) -> Tensor:
        """`[N,3,S,S]` RGB 0..1 -> `[N,L]`; the first ``preset.latent`` numbers are shared by both."""
        raise NotImplementedError

    def expand(self, code: Tensor, person: Person, morph: float = 1.0) -> Tensor:
        """`[N,L]` -> the map that ``person``'s decoder takes.

        Args:
            code: of `code`.
            person: who is drawn.
            morph: how much so, 0..1, where the family can; at 0 the other person is.
        """
        raise NotImplementedError

    def expand_both(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[2N,L]` of N faces of A, then N of B -> maps to draw each as themselves."""
        raise NotImplementedError

    def decoder_map(self, face: Tensor, person: Person, morph: float = 1.0) -> Tensor:
        """`[N,3,S,S]` RGB 0..1 -> what `expand` gives of its code, by no more layers than that takes."""
        return self.expand(self.code(face), person, morph)

    def forward(self, face: Tensor, person: Person, morph: float = 1.0) -> Tensor:
        """`[N,3,S,S]` RGB 0..1 -> `[N,4,S,S]` RGB and mask, drawn as ``person``."""
        drawn: Tensor = self.decoder(person)(self.decoder_map(face, person, morph))
        return drawn


class SharedAutoencoder(FaceNetwork):
    """``df``: one encoder, decoders A and B."""

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.encoder = Encoder(preset)
        self.decoder_a = Decoder(preset)
        self.decoder_b = Decoder(preset)

    def decoder(self, person: Person) -> Decoder:
        return self.decoder_a if person == "a" else self.decoder_b

    def code(self, face: Tensor) -> Tensor:
        return self.encoder.code(face)

    def expand(self, code: Tensor, person: Person, morph: float = 1.0) -> Tensor:
        return self.encoder.expand(code)

    def expand_both(self, code: Tensor) -> tuple[Tensor, Tensor]:
        map_a, map_b = self.encoder.expand(code).chunk(2)
        return map_a, map_b


class InterAutoencoder(FaceNetwork):
    """``liae``: one encoder, one decoder, and dense layers that part the two people.

    The decoder takes two maps side by side. `inter_ab` sees both people and gives the second map of either,
    and the first of B. `inter_a` sees A alone and gives the first map of A. To draw A as B, A's own map is
    exchanged for the shared one, which has seen A, so that the expression comes through. (Elsewhere the
    person in the film is called B, and the layers of their own ``inter_B``; with us that person is A.)
    """

    def __init__(self, preset: Preset) -> None:
        super().__init__(preset)
        self.encoder = nn.Sequential(*_downs(preset))
        self.inter_ab = Inter(preset)
        self.inter_a = Inter(preset)
        self.shared_decoder = Decoder(preset)

    def decoder(self, person: Person) -> Decoder:
        return self.shared_decoder

    def code(self, face: Tensor) -> Tensor:
        seen = self.encoder(face)
        return torch.cat((self.inter_ab.code(seen), self.inter_a.code(seen)), dim=1)

    def expand(self, code: Tensor, person: Person, morph: float = 1.0) -> Tensor:
        shared, own = torch.split(code, self.preset.latent, dim=1)
        of_a = morph if person == "a" else 1 - morph
        return _side_by_side(self.inter_ab.expand(shared), lambda: self.inter_a.expand(own), of_a)

    def decoder_map(self, face: Tensor, person: Person, morph: float = 1.0) -> Tensor:
        seen = self.encoder(face)
        of_a = morph if person == "a" else 1 - morph
        return _side_by_side(self.inter_ab(seen), lambda: self.inter_a(seen), of_a)

    def expand_both(self, code: Tensor) -> tuple[Tensor, Tensor]:
        shared, own = torch.split(code, self.preset.latent, dim=1)
        shared_a, shared_b = self.inter_ab.expand(shared).chunk(2)
        own_a = self.inter_a.expand(own.chunk(2)[0])
        return torch.cat((own_a, shared_a), dim=1), torch.cat((shared_b, shared_b), dim=1)


def _side_by_side(shared: Tensor, own: Callable[[], Tensor], of_own: float) -> Tensor:
    """The two maps of a ``liae`` decoder; ``own`` is asked for only where it counts."""
    if of_own == 0:
        first = shared
    elif of_own == 1:
        first = own()
    else:
        first = torch.lerp(shared, own(), of_own)
    return torch.cat((first, shared), dim=1)


def build(preset: Preset) -> FaceNetwork:
    """The network of a preset, with new weights from PyTorch's own generator."""
    return InterAutoencoder(preset) if preset.family == "liae" else SharedAutoencoder(preset)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _downs(preset: Preset) -> list[nn.Module]:
    stages: list[nn.Module] = []
    plain = len(preset.encoder_widths) - preset.encoder_residual_stages
    for stage, (a, b) in enumerate(pairwise((3, *preset.encoder_widths))):
        if preset.block == "classic":
            stages.append(Down(a, b, preset.encoder_kernel))
        else:
            # Later stages look around by their depthwise layers.
            stages.append(SmoothDown(a, b, preset.encoder_kernel if stage == 0 else 1))
        if stage >= plain:
            stages.extend(_residuals(preset, b))
    return stages


def _up(preset: Preset, channels_in: int, channels_out: int) -> nn.Module:
    return (Upscale if preset.block == "classic" else SmoothUp)(channels_in, channels_out)


def _residuals(preset: Preset, channels: int) -> list[nn.Module]:
    layer = Residual if preset.block == "classic" else WideResidual
    return [layer(channels) for _ in range(preset.residual_depth)]
