"""ONNX Runtime between fixed addresses: a GPU's through its CUDA provider, or the host's.

On the host it runs what a GPU's lane does where there is no GPU. The CUDA provider has never been executed.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DeviceUnavailableError
from .base import Stream, check_addresses, check_tensors
from .onnx import cpu_options
from .onnx_file import declared
from .onnx_session import LOG_ERRORS_ONLY, LOG_NOTHING, OnnxSession, Provider, onnxruntime

_CUDA = "CUDAExecutionProvider"


class BoundOnnxRunner:
    """A `DeviceRunner` on ONNX Runtime.

    Every runner has weights and scratch memory of its own on the device.

    Args:
        model: an ONNX file.
        shape: of the input, in every run; the first side is the batch.
        stream: of the GPU that runs it; None runs it on the host, at addresses of the host.
        graph: record the launches of a run once and replay them: one launch instead of hundreds. Other
            threads must hold still while it records; see `bind`.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not an ONNX network of one float input and float outputs, or not for this shape.
        DeviceUnavailableError: this ONNX Runtime has no CUDA, or not all of the network can run there.
        OutOfMemoryError: no memory for its weights.
    """

    def __init__(
        self, model: Path, shape: tuple[int, ...], *, stream: Stream | None, graph: bool = False
    ) -> None:
        signature = declared(model, shape)
        if stream is None:
            options, self._memory = cpu_options(), ("cpu", 0)
            providers: list[Provider] = ["CPUExecutionProvider"]
        else:
            options, self._memory = _cuda_options(), ("cuda", stream.device)
            providers = [(_CUDA, _cuda_provider(stream, graph))]
        # Sides that are known make all shapes constants: nothing is left that would run on the CPU.
        for side_name, side in zip(signature.side_names, shape, strict=True):
            if side_name:
                options.add_free_dimension_override_by_name(side_name, side)
        self._network = OnnxSession(model, str(model), options, providers)
        if stream is not None and self._network.session.get_providers()[0] != _CUDA:
            raise _no_cuda("its libraries cannot be loaded")
        self.input, self.outputs = self._network.input, self._network.outputs
        check_tensors(str(model), (self.input, *self.outputs), (signature.input, *signature.outputs))
        self._binding: onnxruntime.IOBinding | None = None
        self._options = onnxruntime.RunOptions()
        self._options.log_severity_level = LOG_NOTHING
        # The caller waits for the stream, once for many batches.
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def bind(self, input_address: int, output_addresses: Sequence[int]) -> None:
        """See `DeviceRunner.bind`.

        With ``graph=True``, while it runs, no other thread may use the device's default stream (a hardware
        decoder does), nor allocate on the device, nor wait for or ask about an event, nor synchronise: ONNX
        Runtime records on the stream itself, in the mode that bars all threads.
        """
        check_addresses(self.outputs, input_address, output_addresses)
        if self._binding is not None:
            raise ValueError("bound already: a recorded graph keeps its addresses")
        binding = self._network.session.io_binding()
        binding.bind_input(
            self.input.name, *self._memory, self.input.dtype, self.input.fixed_shape, input_address
        )
        for output, address in zip(self.outputs, output_addresses, strict=True):
            binding.bind_output(output.name, *self._memory, output.dtype, output.fixed_shape, address)
        self._binding = binding
        # Records the graph, too: the runtime repeats the first run until it has one.
        self.enqueue()

    def enqueue(self) -> None:
        """See `DeviceRunner.enqueue`."""
        if self._binding is None:
            raise ValueError("bind it first")
        try:
            self._network.session.run_with_iobinding(self._binding, self._options)
        except Exception as error:  # the library's exceptions share no base of their own
            raise self._network.run_error(error, self.input.fixed_shape[0]) from error


def _cuda_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_ERRORS_ONLY
    options.use_deterministic_compute = True
    # Operators that run on the CPU copy to and fro, unseen.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def cuda_provider_version() -> str:
    """Of the ONNX Runtime that is here.

    Raises:
        DeviceUnavailableError: it has no CUDA provider.
    """
    if _CUDA not in onnxruntime.get_available_providers():
        raise _no_cuda("it is made for CPUs only")
    return str(onnxruntime.__version__)


def _cuda_provider(stream: Stream, graph: bool) -> dict[str, str]:
    cuda_provider_version()
    # Finds the libraries that pip installed beside it; of those that it does not, it prints.
    with contextlib.redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls()
    return {
        "device_id": str(stream.device),
        "user_compute_stream": str(stream.handle),
        "enable_cuda_graph": str(int(graph)),
        # By measuring, each process would choose other convolutions, and other bits.
        "cudnn_conv_algo_search": "HEURISTIC",
        # float32 is what the file says; those who want less export fp16.
        "use_tf32": "0",
        "arena_extend_strategy": "kSameAsRequested",
    }


def _no_cuda(reason: str) -> DeviceUnavailableError:
    return DeviceUnavailableError(
        f"this ONNX Runtime cannot use a GPU ({reason}): "
        'put onnxruntime-gpu in the place of onnxruntime ("pip uninstall onnxruntime" first)'
    )
