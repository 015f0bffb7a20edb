"""A GPU as a place to work at; never executed on one."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from copy import copy
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from ..device import Lane, attached
from ..probe.driver import CudaDevice
from ..probe.process import FATBIN
from ..runtime.base import DeviceRunner, Stream
from ..runtime.engine_cache import EngineCache
from ..runtime.onnx_bound import BoundOnnxRunner, cuda_provider_version
from ..runtime.tensorrt import TensorRtNetwork, TensorRtRunner, tensorrt_version
from .nvdec import Nvdec
from .place import DeviceLane, Shape, engine_name

Runtime = Literal["tensorrt", "onnxruntime"]
RUNTIMES: tuple[Runtime, ...] = ("tensorrt", "onnxruntime")


class CudaPlace:
    """A GPU.

    Args:
        device: which.
        runtime: of networks: TensorRT, or ONNX Runtime's CUDA provider.
        tell: is told, in a line each, of what a user should know.

    Raises:
        DeviceUnavailableError: the runtime is not here, or none that we know.
    """

    def __init__(self, device: CudaDevice, runtime: Runtime, *, tell: Callable[[str], None]) -> None:
        self._device = device
        self.runtime = runtime
        self._builds_engines = runtime == "tensorrt"
        self.networks = (
            f"TensorRT {tensorrt_version()}"
            if self._builds_engines
            else f"ONNX Runtime {cuda_provider_version()}"
        )
        self._engines: Mapping[str, str] = {}
        self._built = _Built(device, tell)
        self._decoder = Nvdec(device.index, self.attached)

    @property
    def name(self) -> str:
        return f"{self.device} ({self._device.name})"

    @property
    def device(self) -> str:
        return f"cuda:{self._device.index}"

    def lane(self) -> Lane:
        return Lane(self._device)

    def attached(self) -> AbstractContextManager[None]:
        return attached(self._device)

    def runner(self, model: Path, shape: Shape, lane: DeviceLane) -> DeviceRunner:
        stream = _stream(lane)
        if self._builds_engines:
            return TensorRtRunner(self._network(model, shape), stream=stream)
        # Recording a graph bars all other threads of the process from the device, the decoder's too.
        return BoundOnnxRunner(model, shape, stream=stream, graph=False)

    def decoder(self) -> Nvdec:
        return self._decoder

    def fingerprint(self) -> dict[str, str]:
        return {
            "gpu": self._device.name,
            "compute capability": _capability(self._device),
            "gpu kernels": _kernels_hash(),
            "gpu networks": self.networks if self._builds_engines else f"{self.networks}, {_cudnn()}",
        }

    def engine(self, model: Path, shape: Shape) -> str | None:
        if not self._builds_engines:
            return None
        with self.attached():
            return self._network(model, shape).sha256

    def with_engines(self, engines: Mapping[str, str]) -> CudaPlace:
        place = copy(self)
        place._engines = engines
        return place

    def _network(self, model: Path, shape: Shape) -> TensorRtNetwork:
        name = engine_name(model, shape)
        return self._built.network(name, model, shape, self._engines.get(name))


class _Built:
    """Engines in the memory of a device, each once for all lanes."""

    def __init__(self, device: CudaDevice, tell: Callable[[str], None]) -> None:
        self._device, self._tell = device, tell
        self._lock = threading.Lock()
        self._networks: dict[tuple[str, str | None], TensorRtNetwork] = {}

    def network(self, name: str, model: Path, shape: Shape, pinned: str | None) -> TensorRtNetwork:
        """The device's context must be current."""
        with self._lock:
            if (name, pinned) not in self._networks:
                self._networks[name, pinned] = TensorRtNetwork(
                    model,
                    shape,
                    gpu=self._device.name,
                    compute_capability=_capability(self._device),
                    cache=EngineCache(tell=self._tell),
                    tell=self._tell,
                    pinned=pinned,
                )
                # A plan names what was built just now.
                built = self._networks[name, pinned]
                self._networks[name, built.sha256] = built
            return self._networks[name, pinned]


@functools.cache
def _kernels_hash() -> str:
    return hashlib.sha256(FATBIN.read_bytes()).hexdigest()[:16]


def _cudnn() -> str:
    """The convolutions of ONNX Runtime, as far as pip knows them."""
    for package in ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12"):
        with suppress(PackageNotFoundError):
            return f"cuDNN {version(package)}"
    return "the system's cuDNN"


def _stream(lane: DeviceLane) -> Stream:
    assert isinstance(lane, Lane), "a lane of this place"
    return lane.stream


def _capability(device: CudaDevice) -> str:
    return ".".join(map(str, device.capability))
