"""TensorRT, 10.16 and 11: engines from ONNX files, run between fixed addresses. Never executed.

Networks are strongly typed: an engine computes in the types of the file, and nothing else is asked of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BadInputError, DeviceUnavailableError, OutOfMemoryError
from ..file_state import changed, file_sha256, file_state
from .base import FloatType, Stream, Tensor, check_addresses, check_tensors
from .cuda_graph import CudaGraph
from .engine_cache import EngineCache, EngineKey
from .onnx_file import Signature, declared

# Rises with every change below that makes other engines of the same file.
BUILDER_VERSION = 1
OPTIMIZATION_LEVEL = 3
WORKSPACE_BYTES = 2 << 30

_OLDEST, _NEWEST_MAJOR = (10, 16), 11

# Called with the name of a phase, a step of it, and how many there are.
Progress = Callable[[str, int, int], None]


class TensorRtNetwork:
    """An engine in the memory of the current device, for any number of runners.

    Args:
        model: the ONNX file.
        shape: of the input, in every run; the first side is the batch.
        gpu: name of the device whose context is current.
        compute_capability: of it, such as ``9.0``.
        cache: where engines are kept.
        pinned: sha256 of the only engine that will do.
        progress: of a build, which takes minutes.
        tell: is told of TensorRT's warnings and errors, and of an engine that it refuses, a line each.

    Attributes:
        sha256: of the engine; part of a plan's fingerprint.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not an ONNX network of one float input and float outputs that TensorRT takes, or an
            engine that is not the network which the file declares.
        DeviceUnavailableError: no TensorRT here, one of another version, or one that does not start or cannot
            load the engine.
        ConfigurationError: the pinned engine is not here.
        OutOfMemoryError: no scratch memory on the device.
    """

    def __init__(
        self,
        model: Path,
        shape: tuple[int, ...],
        *,
        gpu: str,
        compute_capability: str,
        cache: EngineCache,
        tell: Callable[[str], None],
        pinned: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.name = str(model)
        self._trt = _library()
        self._logger = _logger(self._trt, tell)
        signature = declared(model, shape)
        state = file_state(model)
        key = EngineKey(
            onnx_sha256=file_sha256(model, state),
            runtime=f"TensorRT {self._trt.__version__}",
            gpu=gpu,
            compute_capability=compute_capability,
            precision=signature.input.dtype.name,
            shapes=str(signature.input),
            builder=f"{BUILDER_VERSION}, level {OPTIMIZATION_LEVEL}, workspace {WORKSPACE_BYTES}",
        )

        def build() -> bytes:
            known = cache.timings(key)
            content, timings = _build(self._trt, self._logger, model, signature, known, progress)
            if file_state(model) != state:
                raise changed(model)
            cache.keep_timings(key, timings)
            if self._loaded(content) is None:
                # Mostly for want of memory: it would take the place of one that can be loaded.
                raise DeviceUnavailableError(
                    f"{self.name}: TensorRT cannot load the engine that it built (its warnings say why): "
                    "free memory on the GPU"
                )
            return content

        # Host code in engines stays forbidden, as it is by default.
        self._runtime = _started(self._trt, self._trt.Runtime, self._logger)
        built = cache.get(key, build, pinned=pinned)
        self.engine = self._loaded(built.content)
        if self.engine is None and pinned is None:
            tell(f"{cache.path(key)}: TensorRT cannot load it: it is built again")
            built = cache.get(key, build, refused=built.sha256)
            self.engine = self._loaded(built.content)
        if self.engine is None:
            raise DeviceUnavailableError(
                f"{cache.path(key)}: TensorRT cannot load it (its warnings say why): free memory on the GPU"
            )
        self.sha256 = built.sha256
        self.input, *outputs = _tensors(self._trt, self.name, self.engine, self.context(), signature)
        self.outputs = tuple(outputs)

    def _loaded(self, content: bytes) -> Any:
        """The engine on the device; None where TensorRT refuses it."""
        return self._runtime.deserialize_cuda_engine(content)

    def context(self) -> Any:
        """TensorRT's state of one runner, with scratch memory of its own.

        Raises:
            OutOfMemoryError: no memory for it on the device.
        """
        context = self.engine.create_execution_context()
        if context is None:
            raise OutOfMemoryError(
                f"{self.name}: no memory on the GPU to run it: use a smaller --batch, or fewer --workers"
            )
        return context


class TensorRtRunner:
    """A `DeviceRunner` on TensorRT.

    Args:
        network: may be shared with other runners.
        stream: of the device that the network is on.
        graph: record the launches of a run once and replay them.

    Raises:
        OutOfMemoryError: no scratch memory on the device.
    """

    def __init__(self, network: TensorRtNetwork, *, stream: Stream, graph: bool = True) -> None:
        self.input, self.outputs = network.input, network.outputs
        self._network = network
        self._stream = stream
        self._recording = graph
        self._graph: CudaGraph | None = None
        self._bound = False
        self._context = network.context()

    def bind(self, input_address: int, output_addresses: Sequence[int]) -> None:
        """See `DeviceRunner.bind`."""
        check_addresses(self.outputs, input_address, output_addresses)
        if self._bound:
            raise ValueError("bound already: a recorded graph keeps its addresses")
        addresses = zip((self.input, *self.outputs), (input_address, *output_addresses), strict=True)
        taken = [self._context.set_tensor_address(tensor.name, address) for tensor, address in addresses]
        if not all(taken) or not self._context.set_input_shape(self.input.name, self.input.fixed_shape):
            raise self._refused()
        self._bound = True
        self._execute(self._stream.handle)
        if self._recording:
            self._graph = CudaGraph(self._stream, self._execute)

    def enqueue(self) -> None:
        """See `DeviceRunner.enqueue`."""
        if not self._bound:
            raise ValueError("bind it first")
        if self._graph is not None:
            self._graph.launch()
        else:
            self._execute(self._stream.handle)

    def _execute(self, stream_handle: int) -> None:
        if not self._context.execute_async_v3(stream_handle):
            raise self._refused()

    def _refused(self) -> DeviceUnavailableError:
        return DeviceUnavailableError(
            f"{self._network.name}: TensorRT does not run it (its warnings say why): "
            "run crossface probe, or give --device cpu"
        )


def tensorrt_version() -> str:
    """Of the TensorRT that is here.

    Raises:
        DeviceUnavailableError: none, or one of another version.
    """
    return str(_library().__version__)


def _library() -> Any:
    """The module; imported late, for it loads a gigabyte of libraries."""
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        raise DeviceUnavailableError(f'no TensorRT here ({error}): install the extra "tensorrt"') from error
    version = tuple(int(part) for part in tensorrt.__version__.split(".")[:2])
    if version < _OLDEST or version[0] > _NEWEST_MAJOR:
        raise DeviceUnavailableError(
            f"TensorRT {tensorrt.__version__} is not one that Crossface knows: install 10.16 or 11"
        )
    return tensorrt


def _started(trt: Any, kind: Callable[[Any], Any], logger: Any) -> Any:
    """A builder or a runtime."""
    try:
        return kind(logger)
    except TypeError as error:
        # What the bindings make of a null pointer.
        raise DeviceUnavailableError(
            f"TensorRT {trt.__version__} does not start here: does it fit the driver's CUDA? "
            "run crossface probe, or give --device cpu"
        ) from error


def _build(
    trt: Any, logger: Any, model: Path, signature: Signature, timings: bytes, progress: Progress | None
) -> tuple[bytes, bytes]:
    """The engine, and what was measured on the way."""
    builder = _started(trt, trt.Builder, logger)
    # TensorRT 11 knows no other networks, and ignores the flag.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(model)):
        errors = "; ".join(str(parser.get_error(n)) for n in range(parser.num_errors))
        raise BadInputError(f"{model}: not an ONNX network that TensorRT takes ({errors})")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.builder_optimization_level = OPTIMIZATION_LEVEL
    # All in the one stream: a graph is recorded from it.
    config.max_aux_streams = 0
    # float32 is what the file says.
    config.clear_flag(trt.BuilderFlag.TF32)
    # A face that is no number must be seen to be none.
    config.set_flag(trt.BuilderFlag.STRICT_NANS)
    # A face's place in the batch must not change it.
    config.set_flag(trt.BuilderFlag.DISTRIBUTIVE_INDEPENDENCE)
    shape = signature.input.fixed_shape
    profile = builder.create_optimization_profile()
    profile.set_shape(signature.input.name, shape, shape, shape)
    config.add_optimization_profile(profile)
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    monitor = _monitor(trt, progress) if progress else None
    if monitor is not None:
        config.progress_monitor = monitor
    content = builder.build_serialized_network(network, config)
    if monitor is not None and monitor.raised is not None:
        raise monitor.raised
    if content is None:
        raise BadInputError(f"{model}: TensorRT makes no engine of it (its warnings say why)")
    return bytes(content), bytes(cache.serialize())


def _tensors(trt: Any, name: str, engine: Any, context: Any, signature: Signature) -> list[Tensor]:
    """Input and outputs in the file's order, checked: builders have changed types without a word."""
    types: dict[Any, FloatType] = {trt.float32: np.dtype(np.float32), trt.float16: np.dtype(np.float16)}
    wanted = [signature.input, *signature.outputs]
    made = {engine.get_tensor_name(n) for n in range(engine.num_io_tensors)}
    if made != {tensor.name for tensor in wanted}:
        raise BadInputError(f"{name}: TensorRT made other inputs and outputs of it: {sorted(made)}")
    context.set_input_shape(signature.input.name, signature.input.fixed_shape)
    found = []
    for tensor in wanted:
        kind = engine.get_tensor_dtype(tensor.name)
        if kind not in types:
            raise BadInputError(f"{name}: TensorRT made {kind} of {tensor}")
        sides = tuple(side if side >= 0 else None for side in context.get_tensor_shape(tensor.name))
        found.append(Tensor(tensor.name, sides, types[kind]))
    check_tensors(name, found, wanted)
    return found


@functools.cache
def _logger(trt: Any, tell: Callable[[str], None]) -> Any:
    """One, for good: TensorRT uses the first that it is given for all that follows, and does not hold it."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                tell(f"TensorRT: {message}")

    return Logger()


def _monitor(trt: Any, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Tells of steps; what that raises, as an interrupt does, ends the build."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.raised: BaseException | None = None
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                progress(phase_name, step + 1, self._steps.get(phase_name, 0))
            except BaseException as error:
                self.raised = error
            return self.raised is None

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
