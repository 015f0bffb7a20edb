"""A network with what training knows about it, and its way into a checkpoint and back."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..engine.errors import CrossfaceError
from ..engine.part_file import PartFile
from .checkpoint import (
    BEST_NAME,
    CHECKPOINT_NAME,
    Progress,
    keep_last,
    kept,
    load_average,
    open_checkpoint,
    write_checkpoint,
)
from .first_weights import fit_first_weights
from .losses import DEFAULT_LOSSES, LossSettings
from .models import FaceNetwork, build
from .objective import new_critics
from .optimiser import ChannelsLastAdam
from .presets import Preset

BETAS = (0.9, 0.99)


class DivergedError(CrossfaceError):
    """Loss, gradient or weights became infinite or not a number, again and again."""


class Learner:
    """A network with what training knows about it.

    Args:
        preset: the network.
        device: of everything.
        seed: of its first weights.
        base: folder of a model of this preset whose averaged weights it begins with instead.
        faces: `[2N,3,S,S]` in 0..1 on the device, N of A, then N of B, which new weights are fitted to; see
            `fit_first_weights`.
        losses: what it will learn by.
        averages: whether it keeps an average of its weights; without, the weights stand in for it.

    Attributes:
        network: the weights that learn.
        average: their exponential moving average, which draws better faces.
        critics: what learns beside it, to judge it.
        optimiser: Adam.
        progress: how far it has come.
    """

    def __init__(
        self,
        preset: Preset,
        device: torch.device,
        seed: int,
        base: Path | None = None,
        losses: LossSettings = DEFAULT_LOSSES,
        *,
        averages: bool = True,
        faces: Tensor | None = None,
    ) -> None:
        self._device, self._losses, self._averages, self._faces = device, losses, averages, faces
        network, critics = _new(preset, losses, seed)
        if base is not None:
            load_average(base, network)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if base is None and faces is not None:
            fit_first_weights(self.network, faces)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval() if averages else self.network
        self.critics = critics.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        learning = [*self.network.parameters(), *self.critics.parameters()]
        self.optimiser = ChannelsLastAdam(learning, betas=BETAS, fused=True)
        self.progress = Progress()
        # Made here and not by the first step, so that a loaded state has somewhere to go.
        for parameter in learning:
            self.optimiser.state[parameter] = {
                "step": torch.zeros((), device=device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def begin(self, seed: int, base: Path | None = None) -> None:
        """As new."""
        begun = Learner(
            self.network.preset,
            self._device,
            seed,
            base,
            self._losses,
            averages=self._averages,
            faces=self._faces,
        )
        wanted = begun._tensors()
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(wanted[name])
        self.progress = Progress()
        for state in self.optimiser.state.values():
            state["step"].zero_()

    def update_average(self) -> None:
        """After a step: early on the average follows closely, later over some five hundred steps."""
        if not self._averages:
            return
        step = self.progress.step
        decay = min(0.998, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    def save(self, model: Path, keep: int = 1) -> Path:
        """Writes the checkpoint; the ones before it stay, but for those beyond the last ``keep``.

        Raises:
            OutputError: the checkpoint before this one is then still whole.
            DivergedError: a weight is no number; nothing is written.
        """
        sums = torch.stack([parameter.detach().sum() for parameter in self.network.parameters()])
        if not bool(sums.isfinite().all()):
            raise DivergedError(f"{model}: weights became infinite: the last checkpoint stays as it is")
        path = model / CHECKPOINT_NAME
        with PartFile(path, overwrite=True) as part:
            write_checkpoint(part, self._tensors(), self.progress)
            if keep > 1:
                keep_last(path)
        for old in kept(model)[: -(keep - 1) or None]:
            old.unlink(missing_ok=True)
        return path

    def save_best(self, model: Path) -> Path:
        """Writes the average of the weights alone. Raises: OutputError; the best one before stays whole."""
        path = model / BEST_NAME
        with PartFile(path, overwrite=True) as part:
            averages = {f"average.{name}": parameter for name, parameter in self.average.named_parameters()}
            write_checkpoint(part, averages, self.progress)
        return path

    def load(self, model: Path) -> None:
        """Critics that the checkpoint does not have stay as they are.

        Raises:
            BadInputError: damaged, or of another network.
        """
        with open_checkpoint(model) as checkpoint, torch.no_grad():
            for name, tensor in self._tensors(checkpoint.critics(self.critics)).items():
                if name.startswith("average.") and not self._averages:
                    continue  # they are the weights themselves
                # Copying keeps each tensor's memory format, which the fused optimiser relies on.
                tensor.copy_(checkpoint.tensor(name, tuple(tensor.shape)))
            self.progress = checkpoint.progress
        for state in self.optimiser.state.values():
            state["step"].fill_(self.progress.step)

    def _tensors(self, critics: Iterable[str] | None = None) -> dict[str, Tensor]:
        """All that a checkpoint holds, or with some of the critics only."""
        tensors: dict[str, Tensor] = {}
        averages = self.average.parameters()
        for (name, parameter), average in zip(self.network.named_parameters(), averages, strict=True):
            state = self.optimiser.state[parameter]
            tensors[f"network.{name}"] = parameter
            tensors[f"average.{name}"] = average
            tensors[f"adam_mean.{name}"] = state["exp_avg"]
            tensors[f"adam_square.{name}"] = state["exp_avg_sq"]
        for critic in self.critics if critics is None else critics:
            for name, parameter in self.critics[critic].named_parameters(prefix=critic):
                state = self.optimiser.state[parameter]
                tensors[f"critic.{name}"] = parameter
                tensors[f"critic_adam_mean.{name}"] = state["exp_avg"]
                tensors[f"critic_adam_square.{name}"] = state["exp_avg_sq"]
        return tensors


def _new(preset: Preset, losses: LossSettings, seed: int) -> tuple[FaceNetwork, nn.ModuleDict]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(preset), new_critics(losses, preset)
