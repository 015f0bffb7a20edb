"""Networks loaded by ONNX Runtime, with its errors told in our words."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# From 1.29 on ONNX Runtime reports models and runs to its maker unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Others take it from here, with that set.
import onnxruntime as onnxruntime

from ..errors import BadInputError, CrossfaceError, DeviceUnavailableError, OutOfMemoryError, unreadable
from ..file_state import FileState, file_state
from .base import FloatType, Tensor
from .onnx_file import read_graph

LOG_ERRORS_ONLY = 3
LOG_NOTHING = 4

_DTYPES: dict[str, FloatType] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
_NO_MEMORY = re.compile("failed to allocate|bad.?alloc|out of memory", re.IGNORECASE)
# The second is also what is said where the libraries of CUDA cannot be loaded.
_NO_DEVICE = re.compile("CUDA|CUDNN|CUBLAS|fallback to CPU EP has been explicitly disabled", re.IGNORECASE)

Provider = str | tuple[str, dict[str, str]]


class OnnxSession:
    """A network of one float input and float outputs.

    Args:
        model: an ONNX file, whose weights are used where they lie on the disk, or its bytes.
        name: what errors call it.
        options: for the runtime; the place of the weights is added to them.
        providers: what may run it, in the order of preference.
        constants: inputs of a file that become weights of these values.

    Attributes:
        session: the runtime's own.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not an ONNX network of one float input and float outputs.
        DeviceUnavailableError: not all of it can run on the device that was asked for.
        OutOfMemoryError: no memory for its weights.
    """

    def __init__(
        self,
        model: Path | bytes,
        name: str,
        options: onnxruntime.SessionOptions,
        providers: Sequence[Provider],
        constants: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self.name = name
        self._on_device = "CPUExecutionProvider" not in providers
        self._file: BinaryIO | None = None
        if isinstance(model, Path):
            model = self._mapped(model.resolve(), options, constants)
        try:
            # Left alone it tries again on the CPU, and says so on stdout.
            self.session = onnxruntime.InferenceSession(
                model, options, providers=providers, enable_fallback=0
            )
        except Exception as error:  # the library's exceptions share no base of their own
            reason = _reason(error)
            if _is_memory(error):
                raise OutOfMemoryError(
                    f"{name}: no memory for its weights: use fewer --workers, or a model in int8"
                ) from error
            if self._is_device(reason):
                raise DeviceUnavailableError(
                    f"{name}: cannot be run by the GPU alone ({reason}): "
                    "run crossface probe, or give --device cpu"
                ) from error
            raise BadInputError(f"{name}: not an ONNX network that can run here ({reason})") from error
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if len(inputs) != 1 or any(node.type not in _DTYPES for node in [*inputs, *outputs]):
            raise BadInputError(f"{name}: not a network of one float input and float outputs")
        self.input = _tensor(inputs[0])
        self.outputs = tuple(map(_tensor, outputs))

    @property
    def state(self) -> FileState | None:
        """Of the file that the network is mapped from, as it is now; None of bytes."""
        return None if self._file is None else file_state(self._file.fileno())

    @property
    def metadata(self) -> dict[str, str]:
        """The file's ``metadata_props``."""
        return dict(self.session.get_modelmeta().custom_metadata_map)

    def run_error(self, error: Exception, batch: int) -> CrossfaceError:
        """What to raise for an exception of a run."""
        if _is_memory(error):
            return OutOfMemoryError(
                f"{self.name}: no memory for a batch of {batch}: use a smaller --batch, or fewer --workers"
            )
        reason = _reason(error)
        if self._is_device(reason):
            return DeviceUnavailableError(
                f"{self.name}: the GPU failed ({reason}): run crossface probe, or give --device cpu"
            )
        return BadInputError(f"{self.name}: the network cannot be run ({reason})")

    def _is_device(self, reason: str) -> bool:
        return self._on_device and _NO_DEVICE.search(reason) is not None

    def _mapped(
        self,
        path: Path,
        options: onnxruntime.SessionOptions,
        constants: Mapping[str, NDArray[np.float32]] | None,
    ) -> bytes:
        """The file without its weights, which the session is told to map."""
        try:
            self._file = path.open("rb")
            model = read_graph(self._file, path.name, constants)
        except OSError as error:
            raise unreadable(self.name, error) from error
        except ValueError as error:
            raise BadInputError(f"{self.name}: not an ONNX network ({error})") from error
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.parent)
        )
        return model


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def _tensor(node: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return Tensor(node.name, shape, _DTYPES[node.type])
