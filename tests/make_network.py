"""A small network with all that the real ones need, and what it means, in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper

SIDE_PX = 16
LATENT = 24
SLOPE = 0.1


def _weights() -> dict[str, NDArray[np.float64]]:
    random = np.random.default_rng(5)

    def normal(*shape: int) -> NDArray[np.float64]:
        return random.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)

    half = SIDE_PX // 2
    return {
        "down": normal(4, 3, 3, 3),
        "down_bias": normal(4),
        "narrow": normal(LATENT, 4 * half * half),
        "narrow_bias": normal(LATENT),
        "widen": normal(4 * half * half, LATENT),
        "widen_bias": normal(4 * half * half),
        "up": normal(16, 4, 3, 3),
        "up_bias": normal(16),
    }


def make_network(path: Path, dtype: DTypeLike, *, batch: int | str = "N") -> Path:
    """A face through a code and back: strided convolution, two dense layers, convolution, depth to space."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    half = SIDE_PX // 2
    nodes = [
        helper.make_node("Conv", ["face", "down", "down_bias"], ["a"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=SLOPE),
        helper.make_node("Flatten", ["b"], ["c"]),
        helper.make_node("Gemm", ["c", "narrow", "narrow_bias"], ["d"], transB=1),
        helper.make_node("Gemm", ["d", "widen", "widen_bias"], ["e"], transB=1),
        helper.make_node("Reshape", ["e", "square"], ["f"]),
        helper.make_node("Conv", ["f", "up", "up_bias"], ["g"], pads=[1] * 4),
        helper.make_node("DepthToSpace", ["g"], ["h"], blocksize=2, mode="CRD"),
        helper.make_node("Sigmoid", ["h"], ["i"]),
        helper.make_node("Split", ["i", "parts"], ["swapped", "mask"], axis=1),
    ]
    tensors = [numpy_helper.from_array(value.astype(dtype), name) for name, value in _weights().items()]
    tensors.append(numpy_helper.from_array(np.array([-1, 4, half, half]), "square"))
    tensors.append(numpy_helper.from_array(np.array([3, 1]), "parts"))
    face, *outputs = (
        helper.make_tensor_value_info(name, kind, [batch, channels, SIDE_PX, SIDE_PX])
        for name, channels in {"face": 3, "swapped": 3, "mask": 1}.items()
    )
    graph = helper.make_graph(nodes, "small", [face], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path


def meaning(faces: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the network gives, in float64."""
    weights, count, half = _weights(), len(faces), SIDE_PX // 2
    a = _convolved(faces.astype(np.float64), weights["down"], weights["down_bias"])[:, :, ::2, ::2]
    b = np.where(a < 0, SLOPE * a, a).reshape(count, -1)
    d = b @ weights["narrow"].T + weights["narrow_bias"]
    e = d @ weights["widen"].T + weights["widen_bias"]
    g = _convolved(e.reshape(count, 4, half, half), weights["up"], weights["up_bias"])
    # Channels in rows of four pixels: 2 by 2 of them lie in four neighbours of one channel.
    h = g.reshape(count, 4, 2, 2, half, half).transpose(0, 1, 4, 2, 5, 3).reshape(count, 4, SIDE_PX, SIDE_PX)
    drawn = 1 / (1 + np.exp(-h))
    return drawn[:, :3], drawn[:, 3:]


def _convolved(
    pictures: NDArray[np.float64], weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[np.float64]:
    padded = np.pad(pictures, [(0, 0), (0, 0), (1, 1), (1, 1)])
    windows = sliding_window_view(padded, (3, 3), (2, 3))
    products: NDArray[np.float64] = np.einsum("nchwij,dcij->ndhw", windows, weights)
    return products + bias[:, None, None]
