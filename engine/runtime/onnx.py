"""ONNX Runtime on the CPU: runs everywhere, bit-equal over batch size and threads."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# From 1.29 on ONNX Runtime reports models and runs to its maker unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from ..errors import BadInputError, InputMissingError, OutOfMemoryError
from ..file_state import FileState, file_state
from ..processor import instructions
from .base import Array, Tensor
from .onnx_file import read_graph

_DTYPES: dict[str, np.dtype[np.float32] | np.dtype[np.float16]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
_LOG_ERRORS_ONLY = 3
_SILENT = 4
_NO_MEMORY = re.compile("failed to allocate|bad.?alloc|out of memory", re.IGNORECASE)


def available_cores() -> int:
    """Cores that this process may use, which on a shared machine are fewer than it has."""
    return len(os.sched_getaffinity(0))


def sums_bytes_exactly() -> bool:
    """Whether this processor has the dot product of bytes that 8-bit networks are made for."""
    return bool({"avx512_vnni", "avx_vnni"} & instructions())


class OnnxRunner:
    """A `Runner` on ONNX Runtime's CPU provider.

    Args:
        model: an ONNX file, whose weights are used where they lie on the disk, or its bytes.
        name: what errors call it.
        threads: 0 for one a core that this process may use.
        exact: every operator as the file has it, none joined or rewritten: slow, and in float32 where the
            file is in bytes.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not an ONNX network of one float input and float outputs.
        OutOfMemoryError: no memory for its weights.
    """

    def __init__(
        self, model: Path | bytes, *, name: str | None = None, threads: int = 0, exact: bool = False
    ) -> None:
        self.name = name or (str(model) if isinstance(model, Path) else "model")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.log_severity_level = _LOG_ERRORS_ONLY
        # Spinning threads take the cores from decoder and encoder while they wait.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A plan of all tensors of a run holds 100 MB more than tensors that come and go, and is no faster.
        options.enable_mem_pattern = False
        if exact:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if not sums_bytes_exactly():
            # Without the dot product, pairs of products of bytes are summed in 16 bits, which overflow.
            options.add_session_config_entry("session.x64quantprecision", "1")
        self._file: BinaryIO | None = None
        if isinstance(model, Path):
            model = self._mapped(model.resolve(), options)
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's exceptions share no base of their own
            reason = str(error).splitlines()[0]
            if _is_memory(error):
                raise OutOfMemoryError(
                    f"{self.name}: no memory for its weights: use fewer --workers, or a model in int8"
                ) from error
            raise BadInputError(f"{self.name}: not an ONNX network that can run here ({reason})") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or any(node.type not in _DTYPES for node in [*inputs, *outputs]):
            raise BadInputError(f"{self.name}: not a network of one float input and float outputs")
        self._input = _tensor(inputs[0])
        self._outputs = tuple(map(_tensor, outputs))

    @property
    def state(self) -> FileState | None:
        """Of the file that the network is mapped from, as it is now; None of bytes."""
        return None if self._file is None else file_state(self._file.fileno())

    @property
    def input(self) -> Tensor:
        return self._input

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self._outputs

    @property
    def metadata(self) -> dict[str, str]:
        """The file's ``metadata_props``."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def _mapped(self, path: Path, options: onnxruntime.SessionOptions) -> bytes:
        """The file without its weights, which the session is told to map."""
        try:
            self._file = path.open("rb")
            model = read_graph(self._file, path.name)
        except OSError as error:
            raise InputMissingError(
                f"{self.name}: cannot be read ({error.strerror}): check the path"
            ) from error
        except ValueError as error:
            raise BadInputError(f"{self.name}: not an ONNX network ({error})") from error
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(path.parent)
        )
        return model

    def run(self, batch: Array) -> tuple[Array, ...]:
        """See `Runner.run`.

        Raises:
            OutOfMemoryError: no memory for a batch of this size.
            BadInputError: the network cannot be run on such a batch.
        """
        options = onnxruntime.RunOptions()
        options.log_severity_level = _SILENT
        try:
            return tuple(self._session.run(None, {self._input.name: batch}, options))
        except Exception as error:  # as above
            if _is_memory(error):
                raise OutOfMemoryError(
                    f"{self.name}: no memory for a batch of {len(batch)}: use a smaller --batch, "
                    "or fewer --workers"
                ) from error
            reason = str(error).splitlines()[0]
            raise BadInputError(f"{self.name}: the network cannot be run ({reason})") from error


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def _tensor(node: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return Tensor(node.name, shape, _DTYPES[node.type])
