"""Whatever runs a network: the same promises, kept by every runner that can run here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from make_network import SIDE_PX, make_network, meaning
from numpy.typing import DTypeLike, NDArray
from onnx import TensorProto, helper

from crossface.engine.errors import BadInputError, DeviceUnavailableError, InputMissingError
from crossface.engine.runtime import onnx_bound, onnx_session
from crossface.engine.runtime.base import DeviceRunner, Stream, Tensor, check_tensors
from crossface.engine.runtime.engine_cache import EngineCache
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.runtime.onnx_bound import BoundOnnxRunner
from crossface.engine.runtime.onnx_session import OnnxSession, onnxruntime
from crossface.engine.runtime.tensorrt import TensorRtNetwork, TensorRtRunner

BATCH = 4
SHAPE = (BATCH, 3, SIDE_PX, SIDE_PX)
# Rounding of weights, and of what lies between.
TOLERANCE = {"float32": 5e-6, "float16": 8e-3}

Loader = Callable[[Path], Any]


class OnHost:
    """A `DeviceRunner` whose addresses are the host's, called like a `Runner`."""

    def __init__(self, runner: DeviceRunner) -> None:
        self.input, self.outputs, self._runner = runner.input, runner.outputs, runner
        self._face = np.zeros(self.input.fixed_shape, self.input.dtype)
        self._drawn = [np.full(output.fixed_shape, 7, output.dtype) for output in self.outputs]
        runner.bind(self._face.ctypes.data, [drawn.ctypes.data for drawn in self._drawn])

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        self._face[:] = batch
        self._runner.enqueue()
        return tuple(drawn.copy() for drawn in self._drawn)


class OnGpu:
    """A `DeviceRunner` on the first GPU, with PyTorch's memory and stream, called like a `Runner`."""

    def __init__(self, load: Callable[[Stream], DeviceRunner]) -> None:
        import torch

        self._torch, self._stream = torch, torch.cuda.Stream(0)
        self._runner = load(Stream(0, self._stream.cuda_stream))
        self.input, self.outputs = self._runner.input, self._runner.outputs
        self._face, *self._drawn = (
            torch.empty(tensor.fixed_shape, dtype=getattr(torch, tensor.dtype.name), device="cuda:0")
            for tensor in (self.input, *self.outputs)
        )
        self._runner.bind(self._face.data_ptr(), [drawn.data_ptr() for drawn in self._drawn])

    def run(self, batch: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        with self._torch.cuda.stream(self._stream):
            self._face.copy_(self._torch.from_numpy(batch))
            self._runner.enqueue()
            # Copies to the host's ordinary memory wait for the stream.
            return tuple(drawn.cpu().numpy() for drawn in self._drawn)


def tensorrt_network(model: Path, gpu: str = "a card", **options: Any) -> TensorRtNetwork:
    cache = EngineCache(model.parent / "engines", tell=lambda line: None)
    options = {"tell": lambda line: None, **options}
    return TensorRtNetwork(model, SHAPE, gpu=gpu, compute_capability="9.0", cache=cache, **options)


def _by_tensorrt_on_gpu(graph: bool) -> Loader:
    def load(model: Path) -> OnGpu:
        return OnGpu(lambda stream: TensorRtRunner(tensorrt_network(model), stream=stream, graph=graph))

    return load


def _by_onnx_on_gpu(graph: bool) -> Loader:
    return lambda model: OnGpu(lambda stream: BoundOnnxRunner(model, SHAPE, stream=stream, graph=graph))


def _by_stand_in(model: Path) -> OnHost:
    return OnHost(TensorRtRunner(tensorrt_network(model), stream=Stream(0, 1), graph=False))


needs_onnx_cuda, needs_tensorrt = pytest.mark.needs_onnx_cuda, pytest.mark.needs_tensorrt


@pytest.fixture(
    params=[
        pytest.param(OnnxRunner, id="onnx"),
        pytest.param(lambda model: OnHost(BoundOnnxRunner(model, SHAPE, stream=None)), id="onnx-bound"),
        pytest.param(_by_onnx_on_gpu(False), id="onnx-cuda", marks=needs_onnx_cuda),
        pytest.param(_by_onnx_on_gpu(True), id="onnx-cuda-graph", marks=needs_onnx_cuda),
        pytest.param(_by_tensorrt_on_gpu(False), id="tensorrt", marks=needs_tensorrt),
        pytest.param(_by_tensorrt_on_gpu(True), id="tensorrt-graph", marks=needs_tensorrt),
        pytest.param(_by_stand_in, id="tensorrt-stand-in"),
    ]
)
def load(request: pytest.FixtureRequest) -> Loader:
    """Loads a model by one of the runners."""
    if request.param is _by_stand_in:
        request.getfixturevalue("stand_in")
    loader: Loader = request.param
    return loader


def _faces(seed: int, dtype: DTypeLike, count: int = BATCH) -> NDArray[Any]:
    return np.random.default_rng(seed).random((count, *SHAPE[1:])).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_runner_says_what_the_file_declares(load: Loader, tmp_path: Path, dtype: str) -> None:
    runner = load(make_network(tmp_path / "small.onnx", dtype))
    tensors = [runner.input, *runner.outputs]
    assert [tensor.name for tensor in tensors] == ["face", "swapped", "mask"]
    assert [tensor.shape[1:] for tensor in tensors] == [(c, SIDE_PX, SIDE_PX) for c in (3, 3, 1)]
    assert all(tensor.dtype == dtype and tensor.shape[0] in (None, BATCH) for tensor in tensors)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_runner_gives_what_the_network_means(load: Loader, tmp_path: Path, dtype: str) -> None:
    faces = _faces(1, dtype)
    drawn = load(make_network(tmp_path / "small.onnx", dtype)).run(faces)
    for got, wanted in zip(drawn, meaning(faces), strict=True):
        assert got.dtype == dtype and np.ptp(wanted) > 0.3
        np.testing.assert_allclose(got, wanted, rtol=0, atol=TOLERANCE[dtype])


def test_a_face_does_not_depend_on_its_place_nor_on_the_others(load: Loader, tmp_path: Path) -> None:
    runner = load(make_network(tmp_path / "small.onnx", np.float32))
    faces, others = _faces(1, np.float32), _faces(2, np.float32)
    wanted = runner.run(faces)
    for place in range(BATCH):
        for got, want in zip(runner.run(np.roll(faces, place, axis=0)), wanted, strict=True):
            np.testing.assert_array_equal(got, np.roll(want, place, axis=0))
        mixed = others.copy()
        mixed[place] = faces[place]
        for got, want in zip(runner.run(mixed), wanted, strict=True):
            np.testing.assert_array_equal(got[place], want[place])


def test_each_run_takes_what_lies_there_then(load: Loader, tmp_path: Path) -> None:
    runner = load(make_network(tmp_path / "small.onnx", np.float32))
    for seed in (1, 2, 1, 3):
        faces = _faces(seed, np.float32)
        np.testing.assert_allclose(runner.run(faces)[0], meaning(faces)[0], rtol=0, atol=TOLERANCE["float32"])


def test_what_is_no_number_comes_through(load: Loader, tmp_path: Path) -> None:
    runner = load(make_network(tmp_path / "small.onnx", np.float32))
    faces = _faces(1, np.float32)
    faces[2, 1, 3, 3] = np.nan
    swapped = runner.run(faces)[0]
    assert np.isnan(swapped[2]).any()
    assert np.isfinite(swapped[[0, 1, 3]]).all()


def _other(inputs: dict[str, int], output: int = TensorProto.FLOAT) -> bytes:
    values = [helper.make_tensor_value_info(name, kind, [BATCH, 3]) for name, kind in inputs.items()]
    result = helper.make_tensor_value_info("y", output, [BATCH, 3])
    node = helper.make_node("Cast", [next(iter(inputs))], ["y"], to=output)
    graph = helper.make_graph([node], "other", values, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x3a\x03\x2a\x7f\x00",
        _other({"x": TensorProto.FLOAT, "z": TensorProto.FLOAT}),
        _other({"x": TensorProto.INT32}),
        _other({"x": TensorProto.FLOAT}, TensorProto.INT64),
    ],
)
def test_what_is_no_such_network_is_refused(load: Loader, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"bad\.onnx"):
        load(path)


def test_a_file_that_is_not_there_is_named(load: Loader, tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"nowhere\.onnx"):
        load(tmp_path / "nowhere.onnx")


def test_a_runner_of_the_host_serves_several_threads(tmp_path: Path) -> None:
    runner = OnnxRunner(make_network(tmp_path / "small.onnx", np.float32), threads=1)
    batches = [_faces(seed, np.float32, count=seed % 5 + 1) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        for faces, (swapped, _) in zip(batches, pool.map(runner.run, batches), strict=True):
            np.testing.assert_allclose(swapped, meaning(faces)[0], rtol=0, atol=TOLERANCE["float32"])


@pytest.mark.parametrize("batch", [_faces(1, np.float64), _faces(1, np.float32)[:, :2]])
def test_a_batch_of_another_kind_is_refused(tmp_path: Path, batch: NDArray[Any]) -> None:
    runner = OnnxRunner(make_network(tmp_path / "small.onnx", np.float32))
    with pytest.raises(BadInputError, match=r"small\.onnx: the network cannot be run"):
        runner.run(batch)


@pytest.fixture(params=["onnx-bound", "tensorrt-stand-in"])
def bound(request: pytest.FixtureRequest, tmp_path: Path) -> DeviceRunner:
    """A runner between addresses of the host, not bound yet."""
    model = make_network(tmp_path / "small.onnx", np.float32)
    if request.param == "onnx-bound":
        return BoundOnnxRunner(model, SHAPE, stream=None)
    request.getfixturevalue("stand_in")
    return TensorRtRunner(tensorrt_network(model), stream=Stream(0, 1), graph=False)


def test_addresses_are_given_once_and_before_anything_runs(bound: DeviceRunner) -> None:
    buffers = [np.zeros(tensor.size_bytes, np.uint8) for tensor in (bound.input, *bound.outputs)]
    face, *drawn = (buffer.ctypes.data for buffer in buffers)
    with pytest.raises(ValueError, match="bind it first"):
        bound.enqueue()
    for wrong in ((0, drawn), (face, drawn[:1]), (face, [drawn[0], 0])):
        with pytest.raises(ValueError, match="an address for the input"):
            bound.bind(*wrong)
    bound.bind(face, drawn)
    with pytest.raises(ValueError, match="bound already"):
        bound.bind(face, drawn)


@pytest.mark.parametrize("shape", [(BATCH, 3, SIDE_PX, 2 * SIDE_PX), (BATCH, 3), (2, 3, SIDE_PX, SIDE_PX)])
def test_a_file_for_another_shape_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    model = make_network(tmp_path / "small.onnx", np.float32, batch=BATCH)
    BoundOnnxRunner(model, SHAPE, stream=None)
    with pytest.raises(BadInputError, match=r"small\.onnx.*face float32\[4,3,16,16\]: takes no input of"):
        BoundOnnxRunner(model, shape, stream=None)


def test_sides_beside_the_batch_may_be_free(tmp_path: Path) -> None:
    """As a detector's: its outputs have their shapes by the runtime's own reckoning."""
    sides = ["N", 3, "H", "W"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in "xy"]
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "free", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(tmp_path / "free.onnx"))
    runner = BoundOnnxRunner(tmp_path / "free.onnx", (2, 3, 5, 7), stream=None)
    assert [tensor.fixed_shape for tensor in (runner.input, *runner.outputs)] == 2 * [(2, 3, 5, 7)]


def test_a_network_in_another_precision_is_refused() -> None:
    """As a builder made it that could not do what it was asked for, and did not say so."""
    half, single = np.dtype(np.float16), np.dtype(np.float32)
    declared = [Tensor("face", (4, 3, 8, 8), half), Tensor("mask", (None, 1, 8, 8), half)]
    fine = [declared[0], Tensor("mask", (4, 1, 8, 8), half)]
    check_tensors("m.onnx", fine, declared)
    for wrong in (
        [fine[0], Tensor("mask", (4, 1, 8, 8), single)],
        [fine[0], Tensor("mask", (4, 1, 8), half)],
        [fine[0], Tensor("mask", (4, 2, 8, 8), half)],
        [fine[0], Tensor("masque", (4, 1, 8, 8), half)],
        declared,
        fine[:1],
    ):
        with pytest.raises(BadInputError, match=r"m\.onnx: the runtime made another network"):
            check_tensors("m.onnx", wrong, declared)


def test_the_default_stream_is_not_lent() -> None:
    with pytest.raises(ValueError, match="default stream"):
        Stream(0, 0)


def test_a_runtime_without_cuda_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_network(tmp_path / "small.onnx", np.float32)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceUnavailableError, match=r"made for CPUs only.*onnxruntime-gpu"):
        BoundOnnxRunner(model, SHAPE, stream=Stream(0, 1))


def test_onnx_runtime_records_a_graph_only_where_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recording bars all other threads from the device."""
    asked = []

    def refuse(model: Path, name: str, options: Any, providers: list[tuple[str, dict[str, str]]]) -> None:
        asked.append(providers[0][1]["enable_cuda_graph"])
        raise DeviceUnavailableError(name)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnx_bound, "OnnxSession", refuse)
    model = make_network(tmp_path / "small.onnx", np.float32)
    for options in ({}, {"graph": True}):
        with pytest.raises(DeviceUnavailableError):
            BoundOnnxRunner(model, SHAPE, stream=Stream(0, 1), **options)
    assert asked == ["0", "1"]


def test_what_would_fall_back_to_the_cpu_is_refused(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = onnx_session.LOG_NOTHING
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    with pytest.raises(DeviceUnavailableError, match=r"small\.onnx: cannot be run by the GPU alone"):
        OnnxSession(make_network(tmp_path / "small.onnx", np.float32), "small.onnx", options, [])


def test_what_a_gpu_run_lacks_is_no_fault_of_the_network(tmp_path: Path) -> None:
    model = make_network(tmp_path / "small.onnx", np.float32)
    network = OnnxSession(model, "small.onnx", onnxruntime.SessionOptions(), [])
    for reason in ("cuDNN is not available", "CUBLAS failure 3", "CUDA error 700"):
        assert isinstance(network.run_error(RuntimeError(reason), 1), DeviceUnavailableError)
    assert isinstance(network.run_error(RuntimeError("Invalid rank"), 1), BadInputError)


def test_a_provider_that_cannot_be_made_is_not_replaced(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Left alone, ONNX Runtime would run it on the CPU, and say so on stdout."""
    model = make_network(tmp_path / "small.onnx", np.float32)
    options = onnxruntime.SessionOptions()
    wrong: Any = ["CPUExecutionProvider", ("CUDAExecutionProvider", "no options")]
    with pytest.raises(BadInputError, match=r"small\.onnx"):
        OnnxSession(model, "small.onnx", options, wrong)
    assert capfd.readouterr().out == ""
