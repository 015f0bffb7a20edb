"""An ONNX graph while it is put together, node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .tflite import IR_VERSION, OPSET, PRODUCER


class Graph:
    """Nodes and weights; every method that adds a node gives the name of its output."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def emit(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: NDArray[Any]) -> str:
        name = f"weights_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def finished(
        self, name: str, image: tuple[int, ...], output: str, shape: tuple[int, ...]
    ) -> onnx.ModelProto:
        """The checked model, for any number of pictures.

        Args:
            name: of the graph.
            image: shape of a picture, the input ``image``.
            output: name of the only output.
            shape: of what it gives for a picture.
        """
        graph = helper.make_graph(
            self._nodes,
            name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *image])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", *shape])],
            self._weights,
        )
        opset = helper.make_opsetid("", OPSET)
        made = helper.make_model(graph, producer_name=PRODUCER, ir_version=IR_VERSION, opset_imports=[opset])
        onnx.checker.check_model(made, full_check=True)
        return made
