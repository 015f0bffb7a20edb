"""A model in training: a folder that survives being killed at any moment.

``model.json`` says what is trained and from which faces, see `model_card`.
``checkpoint.safetensors`` holds everything that changes (weights, their moving
average, Adam's moments, step and time), in one file, so that one rename brings
it all or nothing. Random numbers and the order of the faces follow from the
step. The checkpoints before it are ``checkpoint-STEP.safetensors``, as many as
are kept; ``best.safetensors`` is the average of the weights that drew held-out
faces best.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..engine.errors import BadInputError, InputMissingError
from .held_out import HeldOut

FORMAT_VERSION = 1
CHECKPOINT_NAME = "checkpoint.safetensors"
BEST_NAME = "best.safetensors"
_METADATA_KEY = "crossface"


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
        """Raises: KeyError, TypeError, ValueError: it is damaged, or of another version of this software."""
        fields = json.loads(text)
        if fields["format"] != FORMAT_VERSION:
            raise ValueError(f"format {fields['format']}, and this version reads {FORMAT_VERSION}")
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


def keep_last(path: Path) -> None:
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


def write_checkpoint(path: Path, tensors: dict[str, Tensor], progress: Progress) -> None:
    """Write float32 tensors in the safetensors format, one at a time.

    The library's own writer goes through a temporary file that a kill leaves
    behind, and reports a full disk as a format error.

    Raises:
        OSError: as the system says.
    """
    header: dict[str, Any] = {"__metadata__": {_METADATA_KEY: progress.to_json()}}
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
