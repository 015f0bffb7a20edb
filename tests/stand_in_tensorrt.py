"""Stands in for the module ``tensorrt``, whose libraries cannot be had everywhere.

It holds what we call of the bindings, with the signatures that 10.16.1 and 11.4.0 both have (those of the
real modules were looked at), and runs engines on the CPU, between addresses of the host. It proves nothing of
TensorRT: only that our calls are in order, and what becomes of the answers. An engine is the path of its ONNX
file, the shape of the input, and which build it comes from.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from crossface.engine.runtime.onnx_bound import BoundOnnxRunner

__version__ = "11.4.0.106"

float32, float16, bfloat16 = "DataType.FLOAT", "DataType.HALF", "DataType.BF16"
_TYPES = {np.dtype(np.float32): float32, np.dtype(np.float16): float16}

NetworkDefinitionCreationFlag = enum.IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
MemoryPoolType = enum.Enum("MemoryPoolType", ["WORKSPACE"])
BuilderFlag = enum.Enum("BuilderFlag", ["TF32", "STRICT_NANS", "DISTRIBUTIVE_INDEPENDENCE"])

# What a test wants to go wrong, and what it wants to know.
failing_start = ""
refuses_onnx = False
refused_builds: set[int] = set()
engine_type: str | None = None
builds: list[dict[str, Any]] = []
stream_handles: list[int] = []


class ILogger:
    Severity = enum.IntEnum("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE"], start=0)


class IProgressMonitor:
    pass


def _start(kind: str) -> None:
    if kind == failing_start:
        raise TypeError("pybind11::init(): factory function returned nullptr")


class Builder:
    def __init__(self, logger: ILogger) -> None:
        _start("Builder")
        logger.log(ILogger.Severity.WARNING, "a stand-in builds")  # type: ignore[attr-defined]
        logger.log(ILogger.Severity.INFO, "nobody asked")  # type: ignore[attr-defined]

    def create_network(self, flags: int) -> SimpleNamespace:
        assert flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED
        return SimpleNamespace(path=None)

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: SimpleNamespace, config: _Config) -> memoryview | None:
        assert network.path and config.cache is not None and len(config.profiles) == 1
        builds.append({**vars(config), "shapes": config.profiles[0].shapes})
        monitor = config.progress_monitor
        if monitor is not None:
            monitor.phase_start("tactics", None, 2)
            if not all(monitor.step_complete("tactics", step) for step in range(2)):
                return None
            monitor.phase_finish("tactics")
        config.cache.content += b"+1"
        return memoryview(json.dumps([network.path, config.profiles[0].shapes, len(builds)]).encode())


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        assert least == best == most
        self.shapes[name] = best


class _Config:
    def __init__(self) -> None:
        self.flags = {BuilderFlag.TF32}
        self.pools: dict[Any, int] = {}
        self.profiles: list[_Profile] = []
        self.cache: _TimingCache | None = None
        self.progress_monitor: Any = None
        self.builder_optimization_level, self.max_aux_streams = 3, -1

    def set_memory_pool_limit(self, pool: MemoryPoolType, size_bytes: int) -> None:
        self.pools[pool] = size_bytes

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return 0

    def create_timing_cache(self, content: bytes) -> _TimingCache | None:
        return None if content.startswith(b"no cache") else _TimingCache(content)

    def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return not cache.content.startswith(b"other")


class _TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> memoryview:
        return memoryview(self.content)


class OnnxParser:
    def __init__(self, network: SimpleNamespace, logger: ILogger) -> None:
        self._network = network
        self.num_errors = 0

    def parse_from_file(self, path: str) -> bool:
        self._network.path, self.num_errors = path, int(refuses_onnx)
        return not refuses_onnx

    def get_error(self, index: int) -> str:
        return f"error {index}: no such operator"


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        _start("Runtime")
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, content: bytes) -> _Engine | None:
        assert not self.engine_host_code_allowed
        path, shapes, build = json.loads(content)
        if build in refused_builds:
            return None
        return _Engine(Path(path), {name: tuple(shape) for name, shape in shapes.items()})


class _Engine:
    def __init__(self, path: Path, shapes: dict[str, Any]) -> None:
        self._path, self.shapes = path, shapes
        runner = self.runner()
        self.tensors = {tensor.name: tensor for tensor in (runner.input, *runner.outputs)}
        self.num_io_tensors = len(self.tensors)

    def runner(self) -> BoundOnnxRunner:
        return BoundOnnxRunner(self._path, next(iter(self.shapes.values())), stream=None)

    def get_tensor_name(self, index: int) -> str:
        return sorted(self.tensors)[index]

    def get_tensor_dtype(self, name: str) -> str:
        return engine_type or _TYPES[self.tensors[name].dtype]

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine, self._runner = engine, engine.runner()
        self._addresses: dict[str, int] = {}
        self._shaped = self._ready = False

    def set_input_shape(self, name: str, shape: Any) -> bool:
        self._shaped = shape == self._engine.shapes[name]
        return self._shaped

    def get_tensor_shape(self, name: str) -> list[int]:
        tensor = self._engine.tensors[name]
        return [side if self._shaped else -1 for side in tensor.fixed_shape]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in self._engine.tensors

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle
        stream_handles.append(stream_handle)
        if not self._ready:
            assert self._shaped and set(self._addresses) == set(self._engine.tensors)
            outputs = [self._addresses[tensor.name] for tensor in self._runner.outputs]
            self._runner.bind(self._addresses[self._runner.input.name], outputs)
            self._ready = True
        self._runner.enqueue()
        return True
