"""A model in training: a folder that survives being killed at any moment.

``model.json`` says what is trained and from which faces; it is written once.
``checkpoint.safetensors`` holds everything that changes (weights, their moving
average, Adam's moments, step and time), in one file, so that one rename brings
it all or nothing. Random numbers and the order of the faces follow from the
step. The checkpoints before it are ``checkpoint-STEP.safetensors``, as many as
are kept; ``best.safetensors`` is the average of the weights that drew held-out
faces best.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..engine.errors import BadInputError, CrossfaceError, InputMissingError, UsageError
from ..engine.face.align import TEMPLATE
from ..engine.part_file import PartFile
from .faceset import Faceset
from .held_out import HeldOut
from .losses import DEFAULT_LOSSES, LossSettings
from .models import FaceNetwork, Person, build
from .objective import new_critics
from .optimiser import ChannelsLastAdam
from .presets import Preset

FORMAT_VERSION = 1
MODEL_NAME = "model.json"
CHECKPOINT_NAME = "checkpoint.safetensors"
BEST_NAME = "best.safetensors"
_METADATA_KEY = "crossface"

BETAS = (0.9, 0.99)


class DivergedError(CrossfaceError):
    """Loss, gradient or weights became infinite or not a number, again and again."""


@dataclass(frozen=True)
class ModelCard:
    """What ``model.json`` says.

    Attributes:
        preset: the network, layer by layer, so that a file outlives a change of the presets.
        identity_a, identity_b: names of the two people.
        data_hash_a, data_hash_b: of the facesets.
        template: landmark index to its place, in face heights from the crop's centre.
        software: what started the training.
        holds_out: whether a few faces of each set are kept from training.
        faces_a, faces_b: how many the facesets hold; None where a model was begun before that was noted.
        base: hash of the data that its first weights had learnt from; None where they were random.
    """

    preset: Preset
    identity_a: str
    identity_b: str
    data_hash_a: str
    data_hash_b: str
    template: dict[int, tuple[float, float]]
    software: str
    # Models from before there was a choice trained on all.
    holds_out: bool = False
    faces_a: int | None = None
    faces_b: int | None = None
    base: str | None = None

    @staticmethod
    def new(
        preset: Preset,
        identities: tuple[str, str],
        facesets: tuple[Faceset, Faceset],
        *,
        holds_out: bool = False,
        base: ModelCard | None = None,
    ) -> ModelCard:
        """Raises: UsageError: a base of another network."""
        a, b = facesets
        if base is not None and base.preset != preset:
            raise UsageError(
                f"the base is a {base.preset.name}: give --preset {base.preset.name}, or another --base"
            )
        return ModelCard(
            preset,
            *identities,
            a.data_hash,
            b.data_hash,
            template=dict(TEMPLATE),
            software=f"crossface {version('crossface')}",
            holds_out=holds_out,
            faces_a=len(a.records),
            faces_b=len(b.records),
            base=None if base is None else base.data_hash,
        )

    @property
    def data_hash(self) -> str:
        """sha256 over both facesets' hashes."""
        return hashlib.sha256(f"{self.data_hash_a} {self.data_hash_b}".encode()).hexdigest()

    def identity(self, person: Person) -> str:
        return self.identity_a if person == "a" else self.identity_b

    def write(self, model: Path) -> None:
        """Raises: OutputError."""
        fields = {"model": FORMAT_VERSION, **asdict(self)}
        with PartFile(model / MODEL_NAME, overwrite=True) as part:
            part.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def read(model: Path) -> ModelCard:
        """Raises: InputMissingError, BadInputError."""
        path = model / MODEL_NAME
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if fields.pop("model") != FORMAT_VERSION:
                raise BadInputError(f"{path}: made by another version of Crossface: train a new model")
            preset: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in fields.pop("preset").items()
            }
            template = {int(index): (float(x), float(y)) for index, (x, y) in fields.pop("template").items()}
            return ModelCard(preset=Preset(**preset), template=template, **fields)
        except OSError as error:
            raise InputMissingError(
                f"{path}: cannot be read ({error.strerror}): give a folder that crossface train made"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"{path}: damaged ({error}): restore it or train a new model") from error


@dataclass
class Progress:
    """How far a model has come; in every checkpoint.

    Attributes:
        step: steps done.
        elapsed_s: wall time spent, over all runs.
        rate_scale: of all learning rates; halved whenever a step diverged.
        plateau_step: where held-out faces stopped getting better; None where they did not, or nobody asked.
        losses: of the last step, of person A and B; None before the first one.
        measured: of held-out faces, in order.
    """

    step: int = 0
    elapsed_s: float = 0.0
    rate_scale: float = 1.0
    plateau_step: int | None = None
    losses: tuple[float, float] | None = None
    measured: list[HeldOut] = field(default_factory=list)

    @property
    def best(self) -> HeldOut | None:
        return min(self.measured, key=lambda each: each.mean, default=None)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT_VERSION, **asdict(self)})

    @staticmethod
    def from_json(text: str) -> Progress:
        """Raises: KeyError, TypeError, ValueError: it is damaged."""
        fields = json.loads(text)
        plateau, losses = fields.get("plateau_step"), fields.get("losses")
        return Progress(
            int(fields["step"]),
            float(fields["elapsed_s"]),
            # Files from before there were these have none of them.
            float(fields.get("rate_scale", 1.0)),
            None if plateau is None else int(plateau),
            None if losses is None else (float(losses[0]), float(losses[1])),
            [HeldOut(**each) for each in fields.get("measured", ())],
        )


class Learner:
    """A network with what training knows about it.

    Args:
        preset: the network.
        device: of everything.
        seed: of its first weights.
        base: folder of a model of this preset whose averaged weights it begins with instead.
        losses: what it will learn by.

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
    ) -> None:
        self._device, self._losses = device, losses
        network, critics = _new(preset, losses, seed)
        if base is not None:
            load_average(base, network)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
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
        begun = Learner(self.network.preset, self._device, seed, base, self._losses)
        wanted = begun._tensors()
        with torch.no_grad():
            for name, tensor in self._tensors().items():
                tensor.copy_(wanted[name])
        self.progress = Progress()
        for state in self.optimiser.state.values():
            state["step"].zero_()

    def update_average(self) -> None:
        """After a step: early on the average follows closely, later over some five hundred steps."""
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
            _write_safetensors(part, self._tensors(), {_METADATA_KEY: self.progress.to_json()})
            if keep > 1:
                _keep(path)
        for old in kept(model)[: -(keep - 1) or None]:
            old.unlink(missing_ok=True)
        return path

    def save_best(self, model: Path) -> Path:
        """Writes the average of the weights alone. Raises: OutputError; the best one before stays whole."""
        path = model / BEST_NAME
        with PartFile(path, overwrite=True) as part:
            averages = {f"average.{name}": parameter for name, parameter in self.average.named_parameters()}
            _write_safetensors(part, averages, {_METADATA_KEY: self.progress.to_json()})
        return path

    def load(self, model: Path) -> None:
        """Critics that the checkpoint does not have stay as they are.

        Raises:
            BadInputError: damaged, or of another network.
        """
        with open_checkpoint(model) as checkpoint, torch.no_grad():
            for name, tensor in self._tensors(checkpoint.critics(self.critics)).items():
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


class Checkpoint:
    """An open ``checkpoint.safetensors`` or ``best.safetensors``; a context manager.

    Attributes:
        progress: how far the model had come.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputMissingError(f"{path}: no checkpoint there: train the model first")
        try:
            self._file: Any = safe_open(path, framework="pt")
            metadata: dict[str, str] | None = self._file.metadata()  # type: ignore[no-untyped-call]
            self.progress = Progress.from_json((metadata or {})[_METADATA_KEY])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

    def critics(self, wanted: Iterable[str]) -> list[str]:
        """Those of ``wanted`` that the file has."""
        there = {name.split(".")[1] for name in self._file.keys() if name.startswith("critic.")}  # noqa: SIM118
        return [critic for critic in wanted if critic in there]

    def tensor(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Raises: BadInputError: missing, or of another shape."""
        try:
            tensor: Tensor = self._file.get_tensor(name)
        except SafetensorError as error:
            raise self._damaged(error) from error
        if tuple(tensor.shape) != shape:
            raise self._damaged(f"{name} has shape {tuple(tensor.shape)}, not {shape}")
        return tensor

    def _damaged(self, reason: object) -> BadInputError:
        older = kept(self.path.parent)
        copy = f"copy {older[-1].name} over it" if older else "restore it from a copy"
        return BadInputError(
            f"{self.path}: damaged or of another network ({reason}): {copy}, or delete it to start again"
        )

    def __enter__(self) -> Checkpoint:
        self._file.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.__exit__(*exception)


def open_checkpoint(model: Path, *, best: bool = False) -> Checkpoint:
    """Raises: InputMissingError, BadInputError."""
    return Checkpoint(model / (BEST_NAME if best else CHECKPOINT_NAME))


def kept(model: Path) -> list[Path]:
    """The checkpoints before the last one, the oldest first."""
    return sorted(model.glob("checkpoint-*.safetensors"))


def _keep(path: Path) -> None:
    """Gives the checkpoint that is about to be replaced a name of its own.

    Raises:
        OSError: as the system says.
    """
    if not path.exists():
        return
    with Checkpoint(path) as before:
        name = path.with_name(f"checkpoint-{before.progress.step:09d}.safetensors")
    name.unlink(missing_ok=True)
    os.link(path, name)


def _write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write float32 tensors in the safetensors format, one at a time.

    The library's own writer goes through a temporary file that a kill leaves
    behind, and reports a full disk as a format error.

    Raises:
        OSError: as the system says.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.numel() * 4
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(tensor.detach().cpu().contiguous().numpy().data)


def load_average(model: Path, network: nn.Module, *, best: bool = False) -> Progress:
    """Fill a network with the averaged weights of the last checkpoint, or of the best one.

    Raises: InputMissingError, BadInputError.
    """
    with open_checkpoint(model, best=best) as checkpoint, torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(checkpoint.tensor(f"average.{name}", tuple(parameter.shape)))
        return checkpoint.progress


def check_same(card: ModelCard, wanted: ModelCard, model: Path) -> None:
    """A model goes on with the network and the faces that it was started with.

    Raises:
        UsageError: it does not; names what differs.
    """
    if card.preset.name != wanted.preset.name:
        raise UsageError(
            f"{model}: was started with --preset {card.preset.name}: give that, or another folder"
        )
    for person, old, new in (
        ("first", card.data_hash_a, wanted.data_hash_a),
        ("second", card.data_hash_b, wanted.data_hash_b),
    ):
        if old != new:
            raise UsageError(
                f"{model}: was started with another {person} faceset: give that one, or another folder"
            )
