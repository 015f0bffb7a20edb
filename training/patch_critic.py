"""A critic of faces, for the last stretch: it asks for detail that no distance asks for.

Distances ask for the mean of all faces that might be meant, and the mean is soft.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import LEAKY_SLOPE, Down
from .still import still

_WIDTHS = (24, 48, 96, 96)
_KERNEL_PX = 5


class PatchCritic(nn.Module):
    """`[N,3,S,S]` in 0..1 -> how real each patch is, `[N,1,S/8,S/8]`, and each pixel, `[N,1,S,S]`.

    A U-Net, as in Schönfeld et al., "A U-Net based discriminator for generative adversarial networks",
    CVPR 2020: what it says of patches is about features, of pixels about texture.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *_, last = _WIDTHS
        self.enter = nn.Conv2d(3, first, 3, padding=1)
        self.down = nn.ModuleList(Down(a, b, _KERNEL_PX) for a, b in pairwise(_WIDTHS))
        self.patches = nn.Conv2d(last, 1, 1)
        self.up = nn.ModuleList(
            nn.Conv2d(b + a, a, 3, padding=1) for a, b in reversed(list(pairwise(_WIDTHS)))
        )
        self.pixels = nn.Conv2d(first, 1, 1)

    def forward(self, face: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.leaky_relu(self.enter(face * 2 - 1), LEAKY_SLOPE)
        levels = []
        for down in self.down:
            levels.append(x)
            x = down(x)
        patches = self.patches(x)
        for up in self.up:
            above = levels.pop()
            x = functional.interpolate(x, size=above.shape[2:], mode="nearest")
            x = functional.leaky_relu(up(torch.cat((x, above), dim=1)), LEAKY_SLOPE)
        return patches.float(), self.pixels(x).float()


class CriticLosses(NamedTuple):
    """Scalars.

    Attributes:
        critic: what the critic lowers; no gradient of it reaches the picture.
        drawn: what the decoder lowers; no gradient of it reaches the critic.
    """

    critic: Tensor
    drawn: Tensor


def patch_losses(critic: PatchCritic, drawn: Tensor, real: Tensor, mask: Tensor) -> CriticLosses:
    """Both sides of the game, ready for one backward pass and one optimiser.

    Mao et al., "Least squares generative adversarial networks", ICCV 2017: 1 means real, 0 drawn.

    Args:
        critic: judges.
        drawn: `[N,3,S,S]`.
        real: `[N,3,S,S]`.
        mask: `[N,1,S,S]`; outside of it both are black, and nothing is to be learned there.

    Returns:
        The losses; both are 1/4 where the critic can only guess.
    """
    real, drawn = real * mask, drawn * mask
    says_of_real, says_of_drawn = critic(real), critic(drawn.detach())
    says_to_drawn = still(critic, drawn)
    judged = [
        ((of_real - 1).square().mean() + of_drawn.square().mean()) / 2
        for of_real, of_drawn in zip(says_of_real, says_of_drawn, strict=True)
    ]
    told = [(to_drawn - 1).square().mean() for to_drawn in says_to_drawn]
    return CriticLosses(torch.stack(judged).mean(), torch.stack(told).mean())
