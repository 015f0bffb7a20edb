"""LPIPS, with weights that you bring: what looks alike to a network that knows pictures.

Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018, on the
features of VGG-16. The weights are not ours to ship. Put those of a VGG-16 classifier and the metric's own
into one file, under the names by which they are commonly published::

    save_file({**vgg16.state_dict(), **lpips_linear_layers}, "lpips.safetensors")

which gives ``features.0.weight`` to ``features.28.bias`` and ``lin0.model.1.weight`` to
``lin4.model.1.weight``. Other tensors in the file are left alone.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from ..engine.errors import BadInputError, InputMissingError

# The channels of VGG-16's convolutions; each block but the first begins at half the size.
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# Below this the last block would see less than a pixel.
_LEAST_PX = 32
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


class Perceptual(nn.Module):
    """The metric; it learns nothing.

    Args:
        path: safetensors file with the weights.

    Raises:
        InputMissingError: no such file.
        BadInputError: it is damaged, lacks a tensor, or one has another shape or no numbers.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        tensors = _Weights(path)
        self.blocks = nn.ModuleList()
        self.weights = nn.ParameterList()
        # The index counts activations and poolings too, as a plain row of layers does.
        index, before = 0, 3
        for block, widths in enumerate(_BLOCKS):
            layers: list[nn.Module] = [] if block == 0 else [nn.MaxPool2d(2)]
            index += block > 0
            for a, b in pairwise((before, *widths)):
                conv = nn.Conv2d(a, b, 3, padding=1)
                conv.weight = nn.Parameter(tensors.get(f"features.{index}.weight", (b, a, 3, 3)))
                conv.bias = nn.Parameter(tensors.get(f"features.{index}.bias", (b,)))
                layers += [conv, nn.ReLU()]
                index += 2
            before = widths[-1]
            self.blocks.append(nn.Sequential(*layers))
            self.weights.append(tensors.get(f"lin{block}.model.1.weight", (1, before, 1, 1)))
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, drawn: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """How unlike two faces look.

        Args:
            drawn: `[N,3,S,S]` in 0..1; at least 32 px.
            target: `[N,3,S,S]` in 0..1.
            mask: `[N,1,S,S]`: outside of it ``target`` takes the place of ``drawn``.

        Returns:
            A scalar; 0 for equal faces.
        """
        if drawn.shape[-1] < _LEAST_PX:
            raise ValueError(f"LPIPS needs faces of {_LEAST_PX} px or more, not {drawn.shape[-1]}")
        x = self._scaled(drawn * mask + target * (1 - mask))
        with torch.no_grad():
            y = self._scaled(target)
        total = x.new_zeros((), dtype=torch.float32)
        for block, weight in zip(self.blocks, self.weights, strict=True):
            x = block(x)
            with torch.no_grad():
                y = block(y)
            difference = (_unit(x) - _unit(y)).square()
            total = total + (difference * weight).sum(dim=1).mean()
        return total

    def _scaled(self, face: Tensor) -> Tensor:
        return (face * 2 - 1 - self.shift) / self.scale


def _unit(features: Tensor) -> Tensor:
    """Each pixel's features at a length of 1, in float32."""
    return functional.normalize(features.float(), dim=1, eps=1e-10)


class _Weights:
    """A safetensors file, tensor by tensor."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.is_file():
            raise InputMissingError(f"{path}: no such file: give the weights of LPIPS as safetensors")
        try:
            self._file = safe_open(path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise self._unfit(str(error)) from error

    def get(self, name: str, shape: tuple[int, ...]) -> Tensor:
        try:
            tensor: Tensor = self._file.get_tensor(name)  # type: ignore[no-untyped-call]
        except SafetensorError as error:
            raise self._unfit(f"it has no {name}") from error
        if tuple(tensor.shape) != shape:
            raise self._unfit(f"{name} has shape {tuple(tensor.shape)}, not {shape}")
        if not tensor.is_floating_point() or not bool(torch.isfinite(tensor).all()):
            raise self._unfit(f"{name} is not made of numbers")
        return tensor.float()

    def _unfit(self, reason: str) -> BadInputError:
        return BadInputError(
            f"{self._path}: not the weights of LPIPS ({reason}): put those of VGG-16 and of the metric in it"
        )
