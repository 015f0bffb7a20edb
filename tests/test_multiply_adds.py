"""The count behind the benchmark's TFLOP/s, against PyTorch's own and against arithmetic."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from multiply_adds import multiply_adds
from onnx import TensorProto, helper, numpy_helper
from torch.utils.flop_counter import FlopCounterMode

from crossface.training.export import to_onnx
from crossface.training.inference import Direct
from crossface.training.models import SharedAutoencoder
from crossface.training.presets import PRESETS


@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_of_ours_counts_as_pytorch_counts_it(batch: int) -> None:
    preset = PRESETS["fast-128"]
    network, shape = SharedAutoencoder(preset).eval(), (batch, 3, preset.size_px, preset.size_px)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Direct(network, "b")(torch.zeros(shape))
    assert counter.get_total_flops() == 2 * multiply_adds(to_onnx(network, "b", "fp16", "direct"), shape)


@pytest.mark.parametrize(
    ("kind", "weight", "attributes", "shape", "wanted"),
    [
        # 6 outputs of 4 by 4, each of 2 channels in its group under 3 by 3.
        (
            "Conv",
            (6, 2, 3, 3),
            {"group": 2, "pads": [1] * 4, "strides": [2, 2]},
            (5, 4, 8, 8),
            5 * 6 * 16 * 18,
        ),
        # 4 inputs of 8 by 8 spread over 3 outputs of their group under 2 by 2.
        ("ConvTranspose", (4, 3, 2, 2), {"group": 2, "strides": [2, 2]}, (5, 4, 8, 8), 5 * 4 * 64 * 12),
        ("Gemm", (7, 11), {}, (5, 7), 5 * 7 * 11),
        ("Gemm", (11, 7), {"transB": 1}, (5, 7), 5 * 7 * 11),
        ("Gemm", (7, 11), {"transA": 1}, (7, 5), 5 * 7 * 11),
        ("MatMul", (2, 7, 11), {}, (2, 5, 7), 2 * 5 * 7 * 11),
        ("MatMul", (7, 11), {}, (3, 2, 5, 7), 3 * 2 * 5 * 7 * 11),
    ],
)
def test_each_kind_of_product(
    kind: str, weight: tuple[int, ...], attributes: dict[str, object], shape: tuple[int, ...], wanted: int
) -> None:
    value = numpy_helper.from_array(np.zeros(weight, np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape[1:]])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    nodes = [helper.make_node(kind, ["x", "w"], ["z"], **attributes), helper.make_node("Relu", ["z"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [value]))
    before = model.SerializeToString()
    assert multiply_adds(model, shape) == wanted
    assert model.SerializeToString() == before


def test_what_cannot_be_told_is_not_counted_as_nothing() -> None:
    x, shape, y = (
        helper.make_tensor_value_info(name, kind, sides)
        for name, kind, sides in (
            ("x", TensorProto.FLOAT, ["N", 4]),
            ("s", TensorProto.INT64, [2]),
            ("y", TensorProto.FLOAT, None),
        )
    )
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("MatMul", ["r", "r"], ["y"])]
    model: onnx.ModelProto = helper.make_model(helper.make_graph(nodes, "g", [x, shape], [y]))
    with pytest.raises(ValueError, match="no shape can be told of 'r'"):
        multiply_adds(model, (4, 4))
