"""The networks there are, as a table. Nothing here needs PyTorch, so that the command line can list it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Family = Literal["df", "liae"]
Block = Literal["classic", "cross"]


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
        residual_stages: how many of a decoder's first upscales are followed by residual blocks.
        output_kernel: side of the last convolution.
        coverage: side of the crop over the height of the mean face.
        batch: faces of each person in one step.
        learning_rate: Adam's, after warm-up.
        family: ``df`` has a decoder for each person; ``liae`` one decoder, and dense layers for each.
        block: ``classic`` has strided convolutions and depth to space; ``cross`` resamples without aliasing,
            and its residual blocks are depthwise and pointwise.
        encoder_residual_stages: how many of the encoder's last downscales are followed by residual blocks.
        residual_depth: residual blocks in a row.
        pixel_norm: whether what the code is made from is scaled to a mean square of 1.
        double_output: whether the decoder works at half the size, and its output is made by depth to space.
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
    # Models from before there was a choice have none of these.
    family: Family = "df"
    block: Block = "classic"
    encoder_residual_stages: int = 0
    residual_depth: int = 1
    pixel_norm: bool = False
    double_output: bool = False

    def __post_init__(self) -> None:
        """Raises: ValueError: the layers do not lead from ``size_px`` to ``size_px``."""
        if self.size_px % (1 << len(self.encoder_widths)):
            raise ValueError(
                f"preset {self.name}: {self.size_px} px cannot be halved {len(self.encoder_widths)} times"
            )
        doublings = 1 + len(self.decoder_widths) + self.double_output
        if self.bottom_px << doublings != self.size_px:
            raise ValueError(
                f"preset {self.name}: {self.bottom_px} px doubled {doublings} times is not {self.size_px} px"
            )


# The classic: the network that every tool of this kind descends from.
_ORIGINAL = Preset(
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
)
# Small enough to train on a laptop's processor in an hour and to ship as a sample.
_FAST = Preset(
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
)
# What film work is done with: wide decoders with residual blocks at every size.
_DF = Preset(
    name="df-256",
    size_px=256,
    encoder_widths=(64, 128, 256, 512),
    encoder_kernel=5,
    latent=256,
    bottom_px=16,
    bottom_channels=256,
    inter_channels=256,
    decoder_widths=(512, 256, 128),
    residual_stages=3,
    output_kernel=3,
    coverage=1.2,
    batch=8,
    learning_rate=1e-4,
    pixel_norm=True,
)
# One decoder draws both people: light and pose of the film come through better, likeness less so.
_LIAE = replace(_DF, name="liae-256", family="liae")
# Many cheap layers in place of few dear ones, and none that alias.
_CROSS = Preset(
    name="cross-256",
    size_px=256,
    encoder_widths=(48, 96, 192, 288, 384),
    encoder_kernel=3,
    latent=256,
    bottom_px=8,
    bottom_channels=256,
    inter_channels=384,
    decoder_widths=(384, 256, 128),
    residual_stages=3,
    output_kernel=3,
    coverage=1.2,
    batch=8,
    learning_rate=3e-4,
    block="cross",
    encoder_residual_stages=3,
    residual_depth=2,
    pixel_norm=True,
    double_output=True,
)

_SIZES_PX = (128, 192, 256, 320, 384, 512)


def _sized(base: Preset, size_px: int, *, double_output: bool) -> Preset:
    """A family's network at another size; ``-d`` draws at half of it, at a quarter of the decoder's cost."""
    return replace(
        base,
        name=f"{base.name.split('-')[0]}-{size_px}{'-d' if double_output else ''}",
        size_px=size_px,
        bottom_px=size_px // (32 if double_output else 16),
        double_output=double_output,
    )


PRESETS = {
    preset.name: preset
    for preset in (
        _ORIGINAL,
        _FAST,
        *(
            _sized(base, size_px, double_output=double_output)
            for base in (_DF, _LIAE)
            for size_px in _SIZES_PX
            for double_output in (False, True)
        ),
        _CROSS,
    )
}
