"""Engines of TensorRT: how they are built, checked and kept, against a stand-in for its module."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from make_network import make_network
from test_runner import SHAPE, OnHost, tensorrt_network

from crossface.engine.errors import BadInputError, DeviceUnavailableError
from crossface.engine.runtime import tensorrt
from crossface.engine.runtime.base import Stream
from crossface.engine.runtime.engine_cache import EngineCache
from crossface.engine.runtime.tensorrt import TensorRtNetwork, TensorRtRunner


def test_without_tensorrt_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_network(tmp_path / "small.onnx", np.float32)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DeviceUnavailableError, match="no TensorRT here"):
        tensorrt_network(model)


@pytest.mark.parametrize(
    ("version", "known"),
    [("10.3.0", False), ("10.16.1.11", True), ("11.0.0.114", True), ("11.4.0.106", True), ("12.0.1", False)],
)
def test_versions_of_tensorrt(monkeypatch: pytest.MonkeyPatch, version: str, known: bool) -> None:
    module = SimpleNamespace(__version__=version)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    if known:
        assert tensorrt._library() is module
    else:
        with pytest.raises(DeviceUnavailableError, match=version):
            tensorrt._library()


@pytest.mark.parametrize("failing", ["Builder", "Runtime"])
def test_a_tensorrt_that_does_not_start_is_told(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(stand_in, "failing_start", failing)
    with pytest.raises(DeviceUnavailableError, match=r"^TensorRT 11\.4\.0\.106 does not start here: .*probe"):
        tensorrt_network(make_network(tmp_path / "small.onnx", np.float32))


def test_an_engine_is_built_once_as_the_file_says(stand_in: Any, tmp_path: Path) -> None:
    model = make_network(tmp_path / "small.onnx", np.float16)
    steps: list[tuple[str, int, int]] = []
    first = tensorrt_network(model, progress=lambda *step: steps.append(step))
    assert tensorrt_network(model).sha256 == first.sha256
    assert tensorrt_network(model, pinned=first.sha256).sha256 == first.sha256
    (build,) = stand_in.builds
    assert build["shapes"] == {"face": SHAPE}
    assert build["flags"] == {
        stand_in.BuilderFlag.STRICT_NANS,
        stand_in.BuilderFlag.DISTRIBUTIVE_INDEPENDENCE,
    }
    assert build["pools"] == {stand_in.MemoryPoolType.WORKSPACE: tensorrt.WORKSPACE_BYTES}
    assert build["max_aux_streams"] == 0
    assert steps == [("tactics", 1, 2), ("tactics", 2, 2)]


def test_an_engine_that_tensorrt_cannot_load_is_built_again_once(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_network(tmp_path / "small.onnx", np.float32)
    told: list[str] = []
    first = tensorrt_network(model)
    monkeypatch.setattr(stand_in, "refused_builds", {1})
    with pytest.raises(DeviceUnavailableError, match=r"\.engine: TensorRT cannot load it"):
        tensorrt_network(model, pinned=first.sha256)
    assert len(stand_in.builds) == 1
    second = tensorrt_network(model, tell=told.append)
    assert second.sha256 != first.sha256 and len(stand_in.builds) == 2
    assert [line for line in told if ".engine: TensorRT cannot load it: it is built again" in line]
    assert tensorrt_network(model, pinned=second.sha256).sha256 == second.sha256


def test_where_tensorrt_loads_no_engine_the_one_that_is_kept_stays(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where others fill the device's memory, while plans have the engine pinned."""
    model = make_network(tmp_path / "small.onnx", np.float32)
    first = tensorrt_network(model)
    monkeypatch.setattr(stand_in, "refused_builds", {1, 2})
    with pytest.raises(DeviceUnavailableError, match=r"small\.onnx: TensorRT cannot load the engine"):
        tensorrt_network(model)
    assert len(stand_in.builds) == 2
    monkeypatch.setattr(stand_in, "refused_builds", set())
    assert tensorrt_network(model, pinned=first.sha256).sha256 == first.sha256


def test_what_was_measured_serves_the_next_build_on_such_a_card(stand_in: Any, tmp_path: Path) -> None:
    models = [make_network(tmp_path / f"{dtype}.onnx", dtype) for dtype in ("float16", "float32")]
    for model in models:
        tensorrt_network(model)
    tensorrt_network(models[0], gpu="another card")
    assert [build["cache"].content for build in stand_in.builds] == [b"+1", b"+1+1", b"+1"]


@pytest.mark.parametrize("kept", [b"no cache at all", b"other card's"])
def test_measurements_that_tensorrt_refuses_are_left_out(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes
) -> None:
    monkeypatch.setattr(EngineCache, "timings", lambda cache, key: kept)
    tensorrt_network(make_network(tmp_path / "small.onnx", np.float32))
    assert [build["cache"].content for build in stand_in.builds] == [b"+1"]


def test_a_graph_is_recorded_on_the_stream_that_it_is_given(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = []

    class Graph:
        def __init__(self, stream: Stream, enqueue: Callable[[int], None]) -> None:
            enqueue(77)
            self.launch = lambda: launched.append(stream.handle)

    monkeypatch.setattr(tensorrt, "CudaGraph", Graph)
    network = tensorrt_network(make_network(tmp_path / "small.onnx", np.float32))
    OnHost(TensorRtRunner(network, stream=Stream(0, 5))).run(np.zeros(SHAPE, np.float32))
    assert (stand_in.stream_handles, launched) == ([5, 77], [5])


def test_an_engine_in_other_types_than_the_files_is_refused(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_network(tmp_path / "small.onnx", np.float16)
    for made, said in ((stand_in.float32, "float32"), (stand_in.bfloat16, "BF16")):
        monkeypatch.setattr(stand_in, "engine_type", made)
        with pytest.raises(BadInputError, match=rf"small\.onnx: .*{said}"):
            tensorrt_network(model)


def test_a_file_that_tensorrt_does_not_take_is_told(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "refuses_onnx", True)
    with pytest.raises(BadInputError, match=r"small\.onnx: .*error 0: no such operator"):
        tensorrt_network(make_network(tmp_path / "small.onnx", np.float32))


def test_an_interrupt_ends_a_build_and_leaves_nothing(stand_in: Any, tmp_path: Path) -> None:
    def interrupted(*step: object) -> None:
        raise KeyboardInterrupt

    model = make_network(tmp_path / "small.onnx", np.float32)
    with pytest.raises(KeyboardInterrupt):
        tensorrt_network(model, progress=interrupted)
    assert list((tmp_path / "engines").iterdir()) == []


def test_the_first_logger_stays(stand_in: Any, tmp_path: Path) -> None:
    """TensorRT goes on writing to it, whatever becomes of the network that brought it."""
    network = tensorrt_network(make_network(tmp_path / "small.onnx", np.float32))
    logger = weakref.ref(network._logger)
    del network
    gc.collect()
    assert logger() is not None


def test_warnings_of_tensorrt_are_told_and_nothing_less(stand_in: Any, tmp_path: Path) -> None:
    told: list[str] = []
    TensorRtNetwork(
        make_network(tmp_path / "small.onnx", np.float32),
        SHAPE,
        gpu="a card",
        compute_capability="9.0",
        cache=EngineCache(tmp_path / "engines", tell=told.append),
        tell=told.append,
    )
    assert told == ["TensorRT: a stand-in builds"]
