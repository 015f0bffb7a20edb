"""A model in training: a folder that survives being killed at any moment.

``model.json`` says what is trained and from which faces; it is written once.
``checkpoint.safetensors`` holds everything that changes (weights, their moving
average, Adam's moments, step and time), in one file, so that one rename brings
it all or nothing.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..engine.errors import BadInputError, InputMissingError, UsageError
from ..engine.face.align import TEMPLATE
from ..engine.part_file import PartFile
from .models import Person, Preset, SharedAutoencoder
from .optimiser import ChannelsLastAdam

FORMAT_VERSION = 1
MODEL_NAME = "model.json"
CHECKPOINT_NAME = "checkpoint.safetensors"
_METADATA_KEY = "crossface"

BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class ModelCard:
    """What ``model.json`` says.

    Attributes:
        preset: the network, layer by layer, so that a file outlives a change of the presets.
        identity_a, identity_b: names of the two people.
        data_hash_a, data_hash_b: of the facesets.
        template: landmark index to its place, in face heights from the crop's centre.
        software: what started the training.
    """

    preset: Preset
    identity_a: str
    identity_b: str
    data_hash_a: str
    data_hash_b: str
    template: dict[int, tuple[float, float]]
    software: str

    @staticmethod
    def new(preset: Preset, identities: tuple[str, str], data_hashes: tuple[str, str]) -> ModelCard:
        software = f"crossface {version('crossface')}"
        return ModelCard(preset, *identities, *data_hashes, template=dict(TEMPLATE), software=software)

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


class Learner:
    """A network with what training knows about it.

    Attributes:
        network: the weights that learn.
        average: their exponential moving average, which draws better faces.
        optimiser: Adam.
        step: steps done.
        elapsed_s: wall time spent, over all runs.
    """

    def __init__(self, preset: Preset, device: torch.device, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SharedAutoencoder(preset)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.optimiser = ChannelsLastAdam(self.network.parameters(), betas=BETAS, fused=True)
        self.step = 0
        self.elapsed_s = 0.0
        # Made here and not by the first step, so that a loaded state has somewhere to go.
        for parameter in self.network.parameters():
            self.optimiser.state[parameter] = {
                "step": torch.zeros((), device=device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def update_average(self) -> None:
        """After a step: early on the average follows closely, later over some five hundred steps."""
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - decay)

    def save(self, model: Path) -> Path:
        """Raises: OutputError; the checkpoint before this one is then still whole."""
        progress = {"format": FORMAT_VERSION, "step": self.step, "elapsed_s": self.elapsed_s}
        path = model / CHECKPOINT_NAME
        with PartFile(path, overwrite=True) as part:
            _write_safetensors(part, self._tensors(), {_METADATA_KEY: json.dumps(progress)})
        return path

    def load(self, model: Path) -> None:
        """Raises: BadInputError: damaged, or of another network."""
        wanted = self._tensors()
        with open_checkpoint(model) as checkpoint, torch.no_grad():
            for name, tensor in wanted.items():
                # Copying keeps each tensor's memory format, which the fused optimiser relies on.
                tensor.copy_(checkpoint.tensor(name, tuple(tensor.shape)))
            self.step, self.elapsed_s = checkpoint.step, checkpoint.elapsed_s
        for state in self.optimiser.state.values():
            state["step"].fill_(self.step)

    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        averages = self.average.parameters()
        for (name, parameter), average in zip(self.network.named_parameters(), averages, strict=True):
            state = self.optimiser.state[parameter]
            tensors[f"network.{name}"] = parameter
            tensors[f"average.{name}"] = average
            tensors[f"adam_mean.{name}"] = state["exp_avg"]
            tensors[f"adam_square.{name}"] = state["exp_avg_sq"]
        return tensors


class Checkpoint:
    """An open ``checkpoint.safetensors``; a context manager.

    Attributes:
        step: steps done.
        elapsed_s: wall time spent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputMissingError(f"{path}: no checkpoint there: train the model first")
        try:
            self._file: Any = safe_open(path, framework="pt")
            metadata: dict[str, str] | None = self._file.metadata()  # type: ignore[no-untyped-call]
            progress = json.loads((metadata or {})[_METADATA_KEY])
            self.step = int(progress["step"])
            self.elapsed_s = float(progress["elapsed_s"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise self._damaged(error) from error

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
        return BadInputError(
            f"{self.path}: damaged or of another network ({reason}): restore it from a copy, or delete it "
            "to start again"
        )

    def __enter__(self) -> Checkpoint:
        self._file.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.__exit__(*exception)


def open_checkpoint(model: Path) -> Checkpoint:
    """Raises: InputMissingError, BadInputError."""
    return Checkpoint(model / CHECKPOINT_NAME)


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


def load_average(model: Path, network: nn.Module) -> int:
    """Fill a network with the averaged weights of a checkpoint; returns its step.

    Raises: InputMissingError, BadInputError.
    """
    with open_checkpoint(model) as checkpoint, torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(checkpoint.tensor(f"average.{name}", tuple(parameter.shape)))
        return checkpoint.step


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
