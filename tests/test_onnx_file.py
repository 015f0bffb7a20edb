"""ONNX files whose weights are used where they lie: the same network, and noticed when it changes."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_model import SIZE_PX, make_swapper
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from crossface.engine.errors import BadInputError
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.runtime.onnx_file import (
    LEAST_WEIGHT_BYTES,
    WEIGHT_ALIGNMENT_BYTES,
    declared,
    read_graph,
    read_metadata,
    read_signature,
)
from crossface.engine.swap.model import Swapper
from crossface.training.onnx_layout import laid_out

CHANNELS = 48


def _chain(weights: dict[str, NDArray[np.generic]]) -> onnx.ModelProto:
    """``x -> relu(x @ weight)`` for each two-dimensional weight of floats; the others are only there."""
    nodes, name = [], "x"
    for key, value in weights.items():
        if value.ndim == 2 and value.dtype == np.float32:
            nodes += [
                helper.make_node("MatMul", [name, key], [f"{key}.product"]),
                helper.make_node("Relu", [f"{key}.product"], [f"{key}.out"]),
            ]
            name = f"{key}.out"
    nodes.append(helper.make_node("Identity", [name], ["y"]))
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["N", CHANNELS]) for end in "xy"]
    tensors = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"who": "nobody", "wörds": "ä" * 300})
    return model


def _matrices(count: int) -> dict[str, NDArray[np.generic]]:
    random = np.random.default_rng(count)
    shape = (CHANNELS, CHANNELS)
    return {f"w{n}": random.normal(0, 0.2, shape).astype(np.float32) for n in range(count)}


def _large(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= LEAST_WEIGHT_BYTES]


@given(
    sizes=st.lists(st.integers(0, 3 * LEAST_WEIGHT_BYTES), max_size=12),
    names=st.lists(st.text(min_size=1, max_size=200), min_size=12, max_size=12, unique=True),
)
def test_large_weights_are_laid_out_aligned_and_nothing_else_changes(
    sizes: list[int], names: list[str]
) -> None:
    weights = {name: np.arange(size, dtype=np.uint8) for name, size in zip(names, sizes, strict=False)}
    model = _chain(weights)
    laid = laid_out(model)
    read = onnx.load_from_string(laid)
    for tensor in _large(read):
        assert tensor.doc_string.strip(" ") == ""
        tensor.ClearField("doc_string")
    assert read == model
    pointed = onnx.load_from_string(read_graph(io.BytesIO(laid), "there.onnx"))
    for before, after in zip(model.graph.initializer, pointed.graph.initializer, strict=True):
        if len(before.raw_data) < LEAST_WEIGHT_BYTES:
            assert after == before
            continue
        place = {entry.key: entry.value for entry in after.external_data}
        offset, length = int(place["offset"]), int(place["length"])
        assert place["location"] == "there.onnx"
        assert offset % WEIGHT_ALIGNMENT_BYTES == 0
        assert laid[offset : offset + length] == before.raw_data
        assert (after.dims, after.data_type, after.raw_data) == (before.dims, before.data_type, b"")
    del model.graph.initializer[:], pointed.graph.initializer[:]
    assert pointed == model


def test_metadata_is_read_with_and_without_a_layout() -> None:
    model = _chain(_matrices(2))
    for content in (laid_out(model), model.SerializeToString()):
        assert read_metadata(io.BytesIO(content)) == {"who": "nobody", "wörds": "ä" * 300}


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 4, 8])
def test_a_mapped_network_gives_the_bits_of_a_parsed_one(tmp_path: Path, shift: int) -> None:
    """Also from files of other tools, whose weights lie anywhere."""
    model = _chain(_matrices(5))
    model.doc_string = "x" * shift
    plain, laid = model.SerializeToString(), laid_out(model)
    x = np.random.default_rng(7).normal(size=(3, CHANNELS)).astype(np.float32)
    wanted = OnnxRunner(plain).run(x)[0]
    assert wanted.any()
    for name, content in (("plain ä.onnx", plain), ("laid out.onnx", laid)):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(OnnxRunner(tmp_path / name).run(x)[0], wanted)
    os.symlink(tmp_path / "laid out.onnx", tmp_path / "link.onnx")
    np.testing.assert_array_equal(OnnxRunner(tmp_path / "link.onnx").run(x)[0], wanted)


def test_weights_are_mapped_and_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    # No product takes it as it is: those it does are packed, and of no more use then.
    weight = np.ones((2, 4 << 20), np.float32)
    model = _chain({"w": np.eye(CHANNELS, dtype=np.float32), "idle": weight.reshape(2, 1, -1)})
    output = helper.make_tensor_value_info("sum", TensorProto.FLOAT, None)
    model.graph.output.append(output)
    model.graph.node.append(helper.make_node("ReduceSum", ["idle"], ["sum"], keepdims=0))
    path.write_bytes(laid_out(model))
    # Before it runs: a constant's sum is taken when the network is loaded.
    runner = OnnxRunner(path, exact=True)
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(path))]
    assert mapped
    assert runner.run(np.zeros((1, CHANNELS), np.float32))[1] == weight.size


@given(
    names=st.lists(st.text(min_size=1, max_size=40), min_size=2, max_size=5, unique=True),
    sides=st.lists(st.integers(0, 1 << 40) | st.text(max_size=20) | st.none(), max_size=5),
    half=st.booleans(),
)
def test_a_signature_is_what_onnx_reads(names: list[str], sides: list[int | str | None], half: bool) -> None:
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, kind, sides) for name in names]
    graph = helper.make_graph([], "g", values[:1], values[1:], doc_string="before")
    read = read_signature(io.BytesIO(helper.make_model(graph).SerializeToString()))
    tensors = [read.input, *read.outputs]
    assert [tensor.name for tensor in tensors] == names
    assert {tensor.dtype for tensor in tensors} == {np.dtype(np.float16 if half else np.float32)}
    assert {tensor.shape for tensor in tensors} == {
        tuple(side if isinstance(side, int) else None for side in sides)
    }
    assert read.side_names == tuple(side if isinstance(side, str) else "" for side in sides)


def test_signatures_of_real_networks_are_what_the_runtime_says(swapper: Path) -> None:
    weights = Path(__file__).parents[1] / "engine" / "weights"
    paths = [swapper, *weights.glob("*.onnx")]
    assert len(paths) >= 5
    for path in paths:
        with path.open("rb") as file:
            signature = read_signature(file)
        runner = OnnxRunner(path)
        assert (signature.input, signature.outputs) == (runner.input, runner.outputs)
        assert signature.side_names[0] == "N"


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    content, path = laid_out(_chain(_matrices(3))), tmp_path / "cut.onnx"
    for length in range(0, len(content) - 1, 997):
        path.write_bytes(content[:length])
        with pytest.raises(BadInputError, match=r"cut\.onnx"):
            OnnxRunner(path)
        with pytest.raises(BadInputError, match=r"cut\.onnx"):
            declared(path, (1, CHANNELS))


def test_a_model_that_is_changed_in_use_is_noticed_and_one_that_is_replaced_stays(tmp_path: Path) -> None:
    path = make_swapper(tmp_path / "model.onnx")
    faces = np.full((1, 3, SIZE_PX, SIZE_PX), 0.5, np.float32)
    swapper = Swapper(path, batch=1)
    wanted = swapper.swap(faces).faces
    other = shutil.copyfile(path, tmp_path / "other.onnx")
    os.replace(other, path)
    np.testing.assert_array_equal(swapper.swap(faces).faces, wanted)
    swapper = Swapper(path, batch=1)
    with path.open("r+b") as file:
        file.write(file.read(1))
    os.utime(path, ns=(1, 1))
    with pytest.raises(BadInputError, match="was changed while it was in use"):
        swapper.swap(faces)
