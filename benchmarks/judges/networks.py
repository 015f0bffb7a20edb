"""The two networks of ``@vladmandic/face-api`` as ONNX, built from their weights.

Both take ``image``, float32 ``[N, 3, S, S]``, RGB 0..1, and subtract the mean colour themselves. What they
are made of is told by the names and shapes of the weights; padding and pooling follow TensorFlow's rules.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .tfjs_weights import Weights

LANDMARK_CROP_PX = 112
IDENTITY_CROP_PX = 150
LANDMARKS = 68
EMBEDDING = 128

_MEAN_RGB = np.array([122.782, 117.001, 104.298]) / 255
_OPSET, _IR_VERSION = 17, 8


def landmark_network(weights: Weights) -> onnx.ModelProto:
    """68 landmarks: four dense blocks of depthwise separable convolutions, each halving the picture.

    Returns:
        A network for crops of `LANDMARK_CROP_PX`, with the output ``landmarks`` ``[N, 68, 2]``: x, y as
        shares of the crop's side.
    """
    net = _Builder(weights)
    x = net.centred("image")
    for number in range(4):
        block = f"dense{number}"
        x = net.convolution(x, f"{block}/conv0", 2) if number == 0 else net.separable(x, f"{block}/conv0", 2)
        so_far = x = net.emit("Relu", x)
        for inner in range(1, 4):
            # Each sees the sum of all before it, through a ReLU.
            so_far = net.emit("Add", so_far, net.separable(x, f"{block}/conv{inner}", 1))
            x = net.emit("Relu", so_far)
    x = net.emit("Flatten", net.emit("GlobalAveragePool", x))
    x = net.emit("Gemm", x, net.weight("fc/weights"), net.weight("fc/bias"))
    net.emit("Reshape", x, net.constant(np.array([-1, LANDMARKS, 2])), output="landmarks")
    return net.model(LANDMARK_CROP_PX, "landmarks", [LANDMARKS, 2])


def identity_network(weights: Weights) -> onnx.ModelProto:
    """An embedding of who it is: a residual network of 29 convolutions, as in dlib.

    Returns:
        A network for crops of `IDENTITY_CROP_PX`, with the output ``embedding`` ``[N, 128]``. By dlib's own
        advice two faces further apart than 0.6 are two people.
    """
    net = _Builder(weights)
    x = net.scaled_convolution(net.centred("image"), "conv32_down", 2, "VALID")
    x = net.emit("MaxPool", net.emit("Relu", x), kernel_shape=[3, 3], strides=[2, 2])
    side_px = 35
    for name in [w.removesuffix("/conv1/conv/filters") for w in weights if w.endswith("/conv1/conv/filters")]:
        halved = "down" in name
        stride, padding = (2, "VALID") if halved else (1, "SAME_UPPER")
        inner = net.emit("Relu", net.scaled_convolution(x, f"{name}/conv1", stride, padding))
        inner = net.scaled_convolution(inner, f"{name}/conv2", 1, "SAME_UPPER")
        if halved:
            x = net.emit("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            inner_px, side_px = (side_px - 3) // 2 + 1, side_px // 2
            inner = net.padded(inner, bottom_right=side_px - inner_px)
            before, after = weights[f"{name}/conv1/conv/filters"].shape[2:]
            x = net.padded(x, channels=after - before)
        x = net.emit("Relu", net.emit("Add", x, inner))
    x = net.emit("Flatten", net.emit("GlobalAveragePool", x))
    net.emit("MatMul", x, net.weight("fc"), output="embedding")
    return net.model(IDENTITY_CROP_PX, "embedding", [EMBEDDING])


class _Builder:
    """Nodes and weights of one graph; every method that adds a node gives the name of its output."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}

    def emit(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, values: NDArray[np.generic], name: str | None = None) -> str:
        name = name or f"constant_{len(self._initializers)}"
        self._initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def weight(self, name: str) -> str:
        return self.constant(self._weights[name], name)

    def centred(self, image: str) -> str:
        return self.emit("Sub", image, self.constant(_MEAN_RGB.astype(np.float32).reshape(1, 3, 1, 1)))

    def convolution(self, x: str, name: str, stride: int, padding: str = "SAME_UPPER") -> str:
        filters = self._weights[f"{name}/filters"].transpose(3, 2, 0, 1)
        return self._convolution(x, filters, self._weights[f"{name}/bias"], name, stride, padding)

    def scaled_convolution(self, x: str, name: str, stride: int, padding: str) -> str:
        """A convolution, then a factor and an offset a channel; written as one."""
        scale, offset = (self._weights[f"{name}/scale/{part}"] for part in ("weights", "biases"))
        filters = self._weights[f"{name}/conv/filters"].transpose(3, 2, 0, 1) * scale[:, None, None, None]
        bias = self._weights[f"{name}/conv/bias"] * scale + offset
        return self._convolution(x, filters, bias, name, stride, padding)

    def separable(self, x: str, name: str, stride: int) -> str:
        depthwise = self._weights[f"{name}/depthwise_filter"].transpose(2, 3, 0, 1)
        x = self._convolution(x, depthwise, None, f"{name}/depthwise", stride, group=len(depthwise))
        pointwise = self._weights[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1)
        return self._convolution(x, pointwise, self._weights[f"{name}/bias"], name, 1)

    def padded(self, x: str, *, bottom_right: int = 0, channels: int = 0) -> str:
        """With zeros at the ends of rows and columns, and of the channels."""
        if not bottom_right and not channels:
            return x
        return self.emit(
            "Pad", x, self.constant(np.array([0, 0, 0, 0, 0, channels, bottom_right, bottom_right]))
        )

    def model(self, size_px: int, output: str, shape: list[int]) -> onnx.ModelProto:
        side = [size_px, size_px]
        graph = helper.make_graph(
            self._nodes,
            output,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *side])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", *shape])],
            list(self._initializers.values()),
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=[opset])
        onnx.checker.check_model(model, full_check=True)
        return model

    def _convolution(
        self,
        x: str,
        filters: NDArray[np.float32],
        bias: NDArray[np.float32] | None,
        name: str,
        stride: int,
        padding: str = "SAME_UPPER",
        group: int = 1,
    ) -> str:
        inputs = [x, self.constant(filters, f"{name}/filters")]
        if bias is not None:
            inputs.append(self.constant(bias, f"{name}/bias"))
        return self.emit("Conv", *inputs, strides=[stride, stride], auto_pad=padding, group=group)
