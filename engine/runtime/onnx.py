"""ONNX Runtime on the CPU: runs everywhere, bit-equal over batch size and threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..file_state import FileState
from ..processor import instructions
from .base import Array
from .onnx_session import LOG_ERRORS_ONLY, LOG_NOTHING, OnnxSession, onnxruntime


def available_cores() -> int:
    """Cores that this process may use, which on a shared machine are fewer than it has."""
    return len(os.sched_getaffinity(0))


def sums_bytes_exactly() -> bool:
    """Whether this processor has the dot product of bytes that 8-bit networks are made for."""
    return bool({"avx512_vnni", "avx_vnni"} & instructions())


def cpu_options(threads: int = 0) -> onnxruntime.SessionOptions:
    """For a session on the CPU; 0 threads are one a core that this process may use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.log_severity_level = LOG_ERRORS_ONLY
    # Spinning threads take the cores from decoder and encoder while they wait.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # A plan of all tensors of a run holds 100 MB more than tensors that come and go, and is no faster.
    options.enable_mem_pattern = False
    if not sums_bytes_exactly():
        # Without the dot product, pairs of products of bytes are summed in 16 bits, which overflow.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


class OnnxRunner:
    """A `Runner` on ONNX Runtime's CPU provider.

    Args:
        model: an ONNX file, whose weights are used where they lie on the disk, or its bytes.
        name: what errors call it.
        threads: 0 for one a core that this process may use.
        exact: every operator as the file has it, none joined or rewritten: slow, and in float32 where the
            file is in bytes.
        constants: inputs of a file that become weights of these values.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not an ONNX network of one float input and float outputs.
        OutOfMemoryError: no memory for its weights.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        name: str | None = None,
        threads: int = 0,
        exact: bool = False,
        constants: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        options = cpu_options(threads)
        if exact:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.name = name or (str(model) if isinstance(model, Path) else "model")
        self._network = OnnxSession(model, self.name, options, ["CPUExecutionProvider"], constants)
        self.input, self.outputs = self._network.input, self._network.outputs

    @property
    def state(self) -> FileState | None:
        """Of the file that the network is mapped from, as it is now; None of bytes."""
        return self._network.state

    @property
    def metadata(self) -> dict[str, str]:
        """The file's ``metadata_props``."""
        return self._network.metadata

    def run(self, batch: Array) -> tuple[Array, ...]:
        """See `Runner.run`.

        Raises:
            OutOfMemoryError: no memory for a batch of this size.
            BadInputError: the network cannot be run on such a batch.
        """
        options = onnxruntime.RunOptions()
        options.log_severity_level = LOG_NOTHING
        try:
            return tuple(self._network.session.run(None, {self.input.name: batch}, options))
        except Exception as error:  # the library's exceptions share no base of their own
            raise self._network.run_error(error, len(batch)) from error
