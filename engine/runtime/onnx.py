"""ONNX Runtime on the CPU: runs everywhere, bit-equal over batch size and threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

# From 1.29 on ONNX Runtime reports models and runs to its maker unless this is set before it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from ..errors import BadInputError, InputMissingError
from .base import Array, Tensor

_DTYPES: dict[str, np.dtype[np.float32] | np.dtype[np.float16]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}
_LOG_ERRORS_ONLY = 3


def available_cores() -> int:
    """Cores that this process may use, which on a shared machine are fewer than it has."""
    return len(os.sched_getaffinity(0))


class OnnxRunner:
    """A `Runner` on ONNX Runtime's CPU provider.

    Args:
        model: an ONNX file, or its bytes.
        name: what errors call it.
        threads: 0 for one a core that this process may use.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not an ONNX network of one float input and float outputs.
    """

    def __init__(self, model: Path | bytes, *, name: str | None = None, threads: int = 0) -> None:
        self.name = name or (str(model) if isinstance(model, Path) else "model")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.log_severity_level = _LOG_ERRORS_ONLY
        # Spinning threads take the cores from decoder and encoder while they wait.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if isinstance(model, Path):
            try:
                content = model.read_bytes()
            except OSError as error:
                raise InputMissingError(
                    f"{model}: cannot be read ({error.strerror}): check the path"
                ) from error
        else:
            content = model
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's exceptions share no base of their own
            reason = str(error).splitlines()[0]
            raise BadInputError(f"{self.name}: not an ONNX network that can run here ({reason})") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or any(node.type not in _DTYPES for node in [*inputs, *outputs]):
            raise BadInputError(f"{self.name}: not a network of one float input and float outputs")
        self._input = _tensor(inputs[0])
        self._outputs = tuple(map(_tensor, outputs))

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

    def run(self, batch: Array) -> tuple[Array, ...]:
        return tuple(self._session.run(None, {self._input.name: batch}))


def _tensor(node: Any) -> Tensor:
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return Tensor(node.name, shape, _DTYPES[node.type])
