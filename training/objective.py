"""What one step of training lowers: all losses of both people, from one pass of the network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..engine.errors import UsageError
from .alignment import CodeCritic, code_adversary, code_moments
from .augment import Batch
from .losses import DEFAULT_LOSSES, LossSettings, background_style, face_loss, face_style
from .models import FaceNetwork, Person
from .patch_critic import PatchCritic, patch_losses
from .perceptual import Perceptual


class StepLosses(NamedTuple):
    """Scalars.

    Attributes:
        a: of person A's faces, drawn as themselves.
        b: of person B's.
        more: all other losses, weighted and added up; 0 where there are none.
    """

    a: Tensor
    b: Tensor
    more: Tensor

    @property
    def total(self) -> Tensor:
        """What `backward` is for; its gradients are those of the network and of the critics."""
        return self.a + self.b + self.more


class Objective(nn.Module):
    """The losses of a network, and the critics that learn beside it.

    Args:
        network: learns.
        settings: what counts how much.
        perceptual: LPIPS with its weights, where the settings ask for it.

    Attributes:
        critics: their parameters want the optimiser that the network has, and are no part of its average nor
            of an exported model; empty where the settings ask for none.

    Raises:
        UsageError: the settings ask for LPIPS and there is none.
    """

    def __init__(
        self,
        network: FaceNetwork,
        settings: LossSettings = DEFAULT_LOSSES,
        perceptual: Perceptual | None = None,
    ) -> None:
        super().__init__()
        if settings.perceptual and perceptual is None:
            raise UsageError("the loss perceptual needs weights: give them as safetensors, see perceptual.py")
        self.network, self.settings = network, settings
        self.perceptual = perceptual if settings.perceptual else None
        self.critics = nn.ModuleDict()
        if settings.code_adversary:
            self.critics["code"] = CodeCritic(network.preset.latent)
        if settings.patch_critic:
            self.critics["patch"] = PatchCritic()

    def forward(self, faces_a: Batch, faces_b: Batch, progress: float = 0.0) -> StepLosses:
        """The losses of a batch of each person, of equal length.

        Args:
            faces_a: of person A.
            faces_b: of person B.
            progress: share of the run that is done, 0..1.
        """
        network, settings = self.network, self.settings
        both = torch.cat((faces_a.input, faces_b.input)).contiguous(memory_format=torch.channels_last)
        code = network.code(both)
        maps = network.expand_both(code)
        people: tuple[tuple[Person, Batch, Tensor], ...] = (("a", faces_a, maps[0]), ("b", faces_b, maps[1]))
        own: list[Tensor] = []
        more = code.new_zeros((), dtype=torch.float32)
        for person, faces, seen in people:
            drawn = network.decoder(person)(seen)
            own.append(face_loss(drawn, faces, settings))
            if self.perceptual is not None:
                likeness = self.perceptual(drawn[:, :3], faces.target, faces.mask)
                more = more + settings.perceptual * likeness
            if "patch" in self.critics and progress >= settings.patch_critic_from:
                critic = self.critics["patch"]
                assert isinstance(critic, PatchCritic)
                game = patch_losses(critic, drawn[:, :3], faces.target, faces.mask)
                more = more + settings.patch_critic * (game.critic + game.drawn)
        code_a, code_b = code[:, : network.preset.latent].chunk(2)
        if settings.code_moments:
            more = more + settings.code_moments * code_moments(code_a, code_b)
        if "code" in self.critics:
            critic = self.critics["code"]
            assert isinstance(critic, CodeCritic)
            more = more + settings.code_adversary * code_adversary(critic, code_a, code_b)
        if settings.background_style or settings.face_style:
            more = more + self._style(code.chunk(2)[0], faces_a)
        return StepLosses(own[0], own[1], more)

    def _style(self, code_a: Tensor, faces_a: Batch) -> Tensor:
        """Of A drawn as B, which is what the model is for."""
        crossed = self.network.decoder("b")(self.network.expand(code_a, "b"))[:, :3]
        light = face_style(crossed, faces_a.target, faces_a.mask)
        around = background_style(crossed, faces_a.target, faces_a.mask)
        return self.settings.face_style * light + self.settings.background_style * around
