"""Multiplications of a network, counted from its ONNX graph."""

from __future__ import annotations

import math

import onnx
from onnx import helper, inliner, shape_inference

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def multiply_adds(model: onnx.ModelProto, shape: tuple[int, ...]) -> int:
    """Pairs of one multiplication and one addition in a run of products and convolutions, as they stand.

    What a runtime makes of them may take fewer. Activations, resizing and the like do not count.

    Args:
        model: of one input.
        shape: of that input.

    Raises:
        ValueError: a shape in the graph cannot be told.
    """
    model = inliner.inline_local_functions(model)
    for side, size in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        side.dim_value = size
    # What is said of the other tensors is said of any batch.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {weight.name: tuple(weight.dims) for weight in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        sides = value.type.tensor_type.shape.dim
        if all(side.HasField("dim_value") for side in sides):
            shapes[value.name] = tuple(side.dim_value for side in sides)
    try:
        return sum(_of(node, shapes) for node in model.graph.node if node.op_type in PRODUCTS)
    except KeyError as error:
        raise ValueError(f"no shape can be told of {error}") from error


def _of(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    first, second, output = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        # The kernel: outputs, inputs of a group, and its sides.
        return math.prod(output) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        # The kernel: inputs, outputs of a group, and its sides.
        return math.prod(first) * math.prod(second[1:])
    inner = first[0] if attributes.get("transA") else first[-1]
    return math.prod(output) * inner
