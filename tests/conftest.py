"""What all tests share: the real clips, and the one place where a test may be skipped.

A test that needs something special carries a marker; where that is missing it is skipped with the
reason, or fails if ``REQUIRE_LITERT=1``, ``REQUIRE_GPU=1`` and so on ask for it. Tests marked ``long`` run
only when they are asked for by ``-m long``.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stand_in_tensorrt
from hypothesis import settings
from make_model import make_swapper
from make_stub_driver import CHOOSING, make_stub_driver

from crossface.engine import weights
from crossface.engine.analyze import analyze
from crossface.engine.errors import ConfigurationError
from crossface.engine.runtime.onnx_session import onnxruntime


def _lacks_module(name: str) -> str | None:
    return None if importlib.util.find_spec(name) else f"{name} is not installed"


def _lacks_gpu() -> str | None:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no CUDA driver"
    # Whoever starts CUDA first in a process decides how it numbers the devices.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    count = ctypes.c_int(0)
    found = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    return _lacks_module("pycuda") if found else "no CUDA device"


def _lacks_torch_on_gpu() -> str | None:
    """Tests of networks on the GPU take memory and a stream from PyTorch."""
    if reason := _lacks_gpu() or _lacks_module("torch"):
        return reason
    import torch

    return None if torch.cuda.is_available() else "PyTorch is not built for CUDA"


def _lacks_onnx_cuda() -> str | None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "onnxruntime is not built for CUDA (onnxruntime-gpu is)"
    return _lacks_torch_on_gpu()


def _lacks_tensorrt() -> str | None:
    if reason := _lacks_module("tensorrt") or _lacks_torch_on_gpu():
        return reason
    try:
        importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        return f"TensorRT's libraries cannot be loaded ({error})"
    return None


def _lacks_nvcc() -> str | None:
    # Where CMake looks for it.
    folders = [os.environ.get("CUDA_HOME", "/usr/local/cuda") + "/bin", "/usr/local/cuda/bin"]
    path = os.pathsep.join([os.environ.get("PATH", ""), *folders])
    return None if shutil.which("nvcc", path=path) else "nvcc is not installed"


def _lacks_judges() -> str | None:
    if reason := _lacks_module("onnx") or _lacks_module("tflite"):
        return reason
    folder = Path(__file__).parents[1] / "build" / "judges"
    return (
        None
        if (folder / "face_recognition_model.bin").exists()
        else 'no judges; "make judges" fetches them, by npm'
    )


def _lacks_people() -> str | None:
    try:
        weights.locate("face_identity")
    except ConfigurationError:
        return 'no network that tells people apart; "make people" fetches it'
    return None


def _lacks_gate() -> str | None:
    original = Path(__file__).parents[1] / "build" / "originals" / "content_gate"
    if weights.is_there("content_gate") and original.exists():
        return None
    return 'no network that tells explicit pictures; "make gate originals" fetches it, by npm'


NEEDS: dict[str, Callable[[], str | None]] = {
    "cluster": lambda: _lacks_module("distributed"),
    "gate": _lacks_gate,
    "judges": _lacks_judges,
    "litert": lambda: _lacks_module("ai_edge_litert"),
    "people": _lacks_people,
    "openjd": lambda: _lacks_module("openjd"),
    "pycuda": lambda: _lacks_module("pycuda"),
    "gpu": _lacks_gpu,
    "nvcc": _lacks_nvcc,
    "onnx_cuda": _lacks_onnx_cuda,
    "tensorrt": _lacks_tensorrt,
    "torch": lambda: _lacks_module("torch"),
    "vfx": lambda: _lacks_module("OpenImageIO") or _lacks_module("PyOpenColorIO"),
}


# Files that take longest begin first: so two processes, which share files out, end at about the same time.
LONGEST = (
    *("resume", "export", "marked_jobs", "gate", "long_runs", "train_command", "convert", "dask_cluster"),
    *("gpu_check", "credentials", "networks", "lane_jobs", "workers", "whole_job", "many_processes"),
)


# How long an example takes says more about the machine than about the code.
settings.register_profile("crossface", deadline=None)
settings.load_profile("crossface")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; deselected unless asked for")
    for need in NEEDS:
        config.addinivalue_line(
            "markers", f"needs_{need}: skipped without it, fails if REQUIRE_{need.upper()}=1"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for need, lacks in NEEDS.items():
        if item.get_closest_marker(f"needs_{need}") and (reason := lacks()):
            if os.environ.get(f"REQUIRE_{need.upper()}") == "1":
                pytest.fail(f"REQUIRE_{need.upper()}=1, but {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips; their names are in ``samples/fetch_clips.py``."""
    folder = Path(__file__).parents[1] / "build" / "clips"
    if not folder.is_dir():
        pytest.fail(f'{folder}: no clips there; run "make setup"', pytrace=False)
    return folder


@pytest.fixture(scope="session")
def swapper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that inverts faces; see `make_model`."""
    return make_swapper(tmp_path_factory.mktemp("model") / "inverting.onnx")


@pytest.fixture(scope="session")
def analysed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the faces file of a real clip by the clip's name; each is analysed once."""
    folder = tmp_path_factory.mktemp("faces")

    def of(name: str) -> Path:
        path = folder / f"{name}.faces"
        if not path.exists():
            list(analyze(clips / name, path, device="cpu"))
        return path

    return of


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in in the place of TensorRT's module."""
    monkeypatch.setitem(sys.modules, "tensorrt", stand_in_tensorrt)
    for noted in ("builds", "stream_handles"):
        monkeypatch.setattr(stand_in_tensorrt, noted, [])
    return stand_in_tensorrt


@pytest.fixture
def no_choice_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CHOOSING, "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def stub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stub_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def stub(stub_folder: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Makes trials load the stub of a driver; its variables are set through what this gives."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(stub_folder))
    return monkeypatch


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Of PyTorch: networks and products as small as those of tests are slower on two."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests sign as a machine of their own, and leave the user's identity and statements alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        for name in ("CROSSFACE_SIGN_CERT", "CROSSFACE_SIGN_KEY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _no_gpu_unasked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU all other tests stay on the CPU, whose way they are about."""
    asking = ("gpu", "onnx_cuda", "tensorrt")
    if not any(request.node.get_closest_marker(f"needs_{need}") for need in asking) and not _lacks_gpu():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
