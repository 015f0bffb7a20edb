"""That a code means the same for both people: losses on the codes themselves.

A decoder that sees one person's codes only need not understand the other's. The nearer both lie to each
other, the more of an expression comes through when they are crossed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engine.errors import UsageError
from .blocks import LEAKY_SLOPE, pixel_norm

_CRITIC_WIDTH = 256


def code_moments(code_a: Tensor, code_b: Tensor) -> Tensor:
    """How far apart the means and the covariances of two sets of codes are, over their spread.

    After Sun and Saenko, "Deep CORAL", ECCV 2016 workshops, with the means as well. What means differ by
    chance is taken off, so that equal people cost nothing on average; and all is over the spread, so that
    codes do not shrink.

    Args:
        code_a: `[N,L]` of person A, at least two.
        code_b: `[M,L]` of person B, at least two.

    Returns:
        A scalar; 0 on average where both come from one distribution and their means alone are compared.

    Raises:
        UsageError: one code has no spread.
    """
    if min(len(code_a), len(code_b)) < 2:
        raise UsageError("the loss code_moments needs a batch of two faces or more: give --batch")
    with torch.autocast(code_a.device.type, enabled=False):
        mean_a, covariance_a = _moments(code_a.float())
        mean_b, covariance_b = _moments(code_b.float())
        spread_a, spread_b = covariance_a.trace(), covariance_b.trace()
        spread = ((spread_a + spread_b) / 2).clamp_min(1e-12)
        by_chance = spread_a / len(code_a) + spread_b / len(code_b)
        means = ((mean_a - mean_b).square().sum() - by_chance) / spread
        return means + (covariance_a - covariance_b).square().sum() / spread.square()


def code_cycle(again: Tensor, code: Tensor) -> Tensor:
    """How far codes of crossed faces are from the codes that these were drawn from, over their size.

    After Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV
    2017, on codes in place of pictures: what a decoder has drawn of an expression is to be understood as the
    same one. The codes that are asked for stand still, or they would come to meet what is made of them. Over
    their spread, which is next to nothing at first, the same would outweigh all other losses a thousandfold.

    Args:
        again: `[N,L]`, of the crossed faces; carries the gradient.
        code: `[N,L]`, what these were drawn from.

    Returns:
        A scalar: 0 where they are the same, 1 where those of the crossed faces are nothing.
    """
    with torch.autocast(code.device.type, enabled=False):
        wanted = code.detach().float()
        size = wanted.square().mean().clamp_min(1e-12)
        return (again.float() - wanted).square().mean() / size


def code_pairs(code_a: Tensor, code_b: Tensor, alike: Tensor) -> Tensor:
    """How far apart the codes of faces are that do the same, over how far apart codes are at all.

    Args:
        code_a: `[N,L]` of person A.
        code_b: `[N,L]` of person B, each face of which is to do what its counterpart does.
        alike: `[N]`, 0..1, how nearly it does.

    Returns:
        A scalar: 0 where they are the same, about 1 where a counterpart's code says no more than any other's.
        Of one face of each it is constant.
    """
    with torch.autocast(code_a.device.type, enabled=False):
        both = torch.cat((code_a, code_b)).float()
        spread = both.var(dim=0).sum().clamp_min(1e-12)
        apart = (code_a.float() - code_b.float()).square().sum(dim=1)
        return (alike * apart).mean() / (2 * spread)


class CodeCritic(nn.Module):
    """Tells from a code whose it is: `[N,L]` -> `[N]`, above zero for B.

    The length of a code tells nothing to it, or the encoder would learn to change that alone.
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, _CRITIC_WIDTH),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Linear(_CRITIC_WIDTH, _CRITIC_WIDTH),
            nn.LeakyReLU(LEAKY_SLOPE),
            nn.Linear(_CRITIC_WIDTH, 1),
        )

    def forward(self, code: Tensor) -> Tensor:
        told: Tensor = self.layers(pixel_norm(code))
        return told.flatten().float()


def code_adversary(critic: CodeCritic, code_a: Tensor, code_b: Tensor) -> Tensor:
    """The critic's cross-entropy, which it lowers and the encoder raises, both by one optimiser.

    Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016: the gradient turns around
    between critic and encoder.

    Returns:
        A scalar; log 2 where the critic can only guess.
    """
    told_a, told_b = critic(_turned(code_a)), critic(_turned(code_b))
    return (functional.softplus(told_a).mean() + functional.softplus(-told_b).mean()) / 2


def _turned(x: Tensor) -> Tensor:
    """The same values, with the gradient's sign changed."""
    return 2 * x.detach() - x


def _moments(code: Tensor) -> tuple[Tensor, Tensor]:
    mean = code.mean(dim=0)
    centred = code - mean
    return mean, centred.T @ centred / (len(code) - 1)
