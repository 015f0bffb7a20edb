"""What one step of training lowers: all losses of both people, from one pass of the network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..engine.errors import UsageError
from .alignment import CodeCritic, code_adversary, code_cycle, code_moments, code_pairs
from .augment import Batch
from .face_points import FacePoints
from .landmark_reader import LandmarkReader, landmark_consistency, learnt_reading, legibility
from .losses import DEFAULT_LOSSES, LossSettings, background_style, face_loss, face_style
from .models import FaceNetwork, Person
from .pairs import alike
from .patch_critic import PatchCritic, patch_losses
from .perceptual import Perceptual
from .presets import Preset
from .still import still


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


def new_critics(settings: LossSettings, preset: Preset) -> nn.ModuleDict:
    """The critics that the settings ask for, with new weights from PyTorch's own generator."""
    critics = nn.ModuleDict()
    if settings.code_adversary:
        critics["code"] = CodeCritic(preset.latent)
    if settings.patch_critic:
        critics["patch"] = PatchCritic()
    if settings.landmarks:
        critics["landmarks"] = LandmarkReader(preset)
    return critics


class Objective(nn.Module):
    """The losses of a network.

    Args:
        network: learns.
        settings: what counts how much.
        critics: of `new_critics`; they learn by the optimiser that the network has, and are no part of its
            average nor of an exported model. New ones where None.
        perceptual: LPIPS with its weights, where the settings ask for it.

    Raises:
        UsageError: the settings ask for LPIPS and there is none.
    """

    def __init__(
        self,
        network: FaceNetwork,
        settings: LossSettings = DEFAULT_LOSSES,
        critics: nn.ModuleDict | None = None,
        perceptual: Perceptual | None = None,
    ) -> None:
        super().__init__()
        if settings.perceptual and perceptual is None:
            raise UsageError("the loss perceptual needs weights: give a safetensors file of them")
        self.network, self.settings = network, settings
        self.perceptual = perceptual if settings.perceptual else None
        self.critics = new_critics(settings, network.preset) if critics is None else critics

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
        themselves: list[Tensor] = []
        more = code.new_zeros((), dtype=torch.float32)
        for person, faces, seen in people:
            drawn = network.decoder(person)(seen)
            own.append(face_loss(drawn, faces, settings))
            themselves.append(drawn[:, :3])
            if self.perceptual is not None:
                likeness = self.perceptual(drawn[:, :3], faces.target, faces.mask)
                more = more + settings.perceptual * likeness
            if "patch" in self.critics:
                more = more + self._patches(drawn[:, :3], faces, progress)
        code_a, code_b = code[:, : network.preset.latent].chunk(2)
        if settings.code_moments:
            more = more + settings.code_moments * code_moments(code_a, code_b)
        if settings.code_pairs:
            pairs = alike(*_points(faces_a, faces_b))
            more = more + settings.code_pairs * code_pairs(code_a, code_b, pairs)
        if "code" in self.critics:
            critic = self.critics["code"]
            assert isinstance(critic, CodeCritic)
            more = more + settings.code_adversary * code_adversary(critic, code_a, code_b)
        if settings.landmarks or settings.cycle:
            more = more + self._crossed(code.chunk(2)[0], faces_a, faces_b, themselves[1])
        if settings.background_style or settings.face_style:
            more = more + self._style(code.chunk(2)[0], faces_a)
        return StepLosses(own[0], own[1], more)

    def _patches(self, drawn: Tensor, faces: Batch, progress: float) -> Tensor:
        critic = self.critics["patch"]
        assert isinstance(critic, PatchCritic)
        if progress < self.settings.patch_critic_from:
            # Processes that train together wait for a gradient of every parameter.
            return 0.0 * torch.stack([parameter.sum() for parameter in critic.parameters()]).sum()
        game = patch_losses(critic, drawn, faces.target, faces.mask)
        return self.settings.patch_critic * (game.critic + game.drawn)

    def _crossed(self, code_a: Tensor, faces_a: Batch, faces_b: Batch, drawn_b: Tensor) -> Tensor:
        """Of A drawn as B by a decoder that does not learn from it: it is to draw B's face, not to please.

        So that the code alone can please, which must mean to B's decoder what it means to A's.
        """
        settings, latent = self.settings, self.network.preset.latent
        count = len(code_a) if settings.landmarks else (len(code_a) + 1) // 2
        seen = self.network.expand(code_a[:count], "b")
        crossed = still(self.network.decoder("b"), seen)[:, :3]
        more = code_a.new_zeros((), dtype=torch.float32)
        if settings.cycle:
            half = crossed[: (len(code_a) + 1) // 2].contiguous(memory_format=torch.channels_last)
            again = self.network.code(half)[:, :latent]
            more = more + settings.cycle * code_cycle(again, code_a[: len(again), :latent])
        if settings.landmarks:
            more = more + settings.landmarks * self._landmarks(crossed, faces_a, faces_b, drawn_b)
        return more

    def _landmarks(self, crossed: Tensor, faces_a: Batch, faces_b: Batch, drawn_b: Tensor) -> Tensor:
        reader, (points_a, points_b) = self.critics["landmarks"], _points(faces_a, faces_b)
        assert isinstance(reader, LandmarkReader)
        learnt = learnt_reading(reader, faces_a.target, faces_b.target, points_a, points_b)
        done = landmark_consistency(reader, crossed, learnt.of_a, points_a, points_b.rest[0])
        return learnt.lost + legibility(reader, drawn_b, points_b) * done

    def _style(self, code_a: Tensor, faces_a: Batch) -> Tensor:
        """Of A drawn as B, which is what the model is for."""
        crossed = self.network.decoder("b")(self.network.expand(code_a, "b"))[:, :3]
        light = face_style(crossed, faces_a.target, faces_a.mask)
        around = background_style(crossed, faces_a.target, faces_a.mask)
        return self.settings.face_style * light + self.settings.background_style * around


def _points(faces_a: Batch, faces_b: Batch) -> tuple[FacePoints, FacePoints]:
    if faces_a.points is None or faces_b.points is None:
        raise ValueError("the losses landmarks and code_pairs need batches with points")
    return faces_a.points, faces_b.points
