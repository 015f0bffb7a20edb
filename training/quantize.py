"""An exported network in bytes: 8-bit weights and activations, calibrated on real faces.

The graph keeps float operators between pairs of QuantizeLinear and DequantizeLinear, which runtimes turn
into integer kernels. Weights are signed and symmetric with a scale a channel, activations unsigned with a
zero point: what the dot-product instructions of x86 multiply. The output convolution stays in float: it
is 2 % of the work, and its inputs and outputs are the picture itself (in bytes it alone changed the
picture more than all other layers together).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..engine.errors import BadInputError
from ..engine.runtime.onnx import available_cores
from .blocks import LEAKY_SLOPE
from .faceset import Faceset
from .presets import Preset
from .store import load_store

# Faces of one person differ little: more of them move no range.
_CALIBRATION_FACES = 64
_BATCH = 8
_LEAST_SCALE = 1e-30
_BINS = 2048
# Shares of the whole range that are tried as limits; what lies outside is clipped.
_SHARES = np.linspace(0.3, 1.0, 29)
_WITH_WEIGHTS = ("Conv", "Gemm")
# What these give has the range of what they take.
_MOVES_ONLY = ("DepthToSpace", "Reshape", "Flatten", "Transpose")


@dataclass(frozen=True)
class _Range:
    """``real = scale * (byte - zero_point)``."""

    scale: np.float32
    zero_point: np.uint8

    @staticmethod
    def of(low: float, high: float) -> _Range:
        """The bytes that reach from ``low`` to ``high``; zero is always a byte of its own."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = np.float32(max((high - low) / 255, _LEAST_SCALE))
        return _Range(scale, np.uint8(np.clip(round(-low / float(scale)), 0, 255)))


def quantized(model: onnx.ModelProto, faceset: Faceset, preset: Preset) -> onnx.ModelProto:
    """The same network in bytes.

    Args:
        model: of `Direct`, in float32.
        faceset: of the person whose faces the model will be given; a spread of them is drawn from.
        preset: of the network.

    Raises:
        BadInputError, InputMissingError: the faceset's pictures cannot be used, or the network is broken.
    """
    store = load_store(faceset, preset, torch.device("cpu"))
    chosen = np.unique(
        np.linspace(0, len(store) - 1, min(len(store), _CALIBRATION_FACES)).round().astype(int)
    )
    faces = store.centred(chosen.tolist(), preset.size_px)[:, :3].numpy()
    # The last convolution and what follows it stay in float.
    inner = max(n for n, node in enumerate(model.graph.node) if node.op_type == "Conv")
    return _in_bytes(model, inner, _ranges(model, list(model.graph.node[:inner]), faces))


def _ranges(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], faces: NDArray[np.float32]
) -> dict[str, _Range]:
    """The best range of each tensor between ``nodes``, by name."""
    names = [node.output[0] for node in nodes if node.op_type not in _MOVES_ONLY]
    before_leaky = {node.input[0] for node in nodes if node.op_type == "LeakyRelu"}
    lows: dict[str, float] = dict.fromkeys(names, 0.0)
    highs: dict[str, float] = dict.fromkeys(names, 0.0)
    for name, values in _tensors(model, names, faces):
        if not np.isfinite(values).all():
            raise BadInputError(
                f"the network gives no numbers on the faces it is calibrated on ({name}): train it again"
            )
        lows[name] = min(lows[name], float(values.min()))
        highs[name] = max(highs[name], float(values.max()))
    counts = {name: np.zeros(_BINS, np.int64) for name in names}
    for name, values in _tensors(model, names, faces):
        counts[name] += np.histogram(values, _BINS, (lows[name], highs[name] or 1.0))[0]
    picture = model.graph.input[0].name
    ranges = {picture: _Range.of(0.0, 1.0)}
    for name in names:
        centres = lows[name] + (np.arange(_BINS) + 0.5) * ((highs[name] or 1.0) - lows[name]) / _BINS
        ranges[name] = _best(centres, counts[name], LEAKY_SLOPE if name in before_leaky else 1.0)
    for node in nodes:
        if node.op_type in _MOVES_ONLY:
            ranges[node.output[0]] = ranges[node.input[0]]
    return ranges


def _best(centres: NDArray[np.float64], counts: NDArray[np.int64], slope: float) -> _Range:
    """The range with the least squared error; below zero an error counts ``slope`` times."""
    best, least = _Range.of(centres[0], centres[-1]), np.inf
    weights = counts * np.where(centres < 0, slope**2, 1.0)
    for low in centres[0] * _SHARES if centres[0] < 0 else [0.0]:
        for high in centres[-1] * _SHARES if centres[-1] > 0 else [0.0]:
            tried = _Range.of(low, high)
            codes = np.clip(np.round(centres / float(tried.scale)) + float(tried.zero_point), 0, 255)
            error = float(weights @ ((codes - float(tried.zero_point)) * float(tried.scale) - centres) ** 2)
            if error < least:
                best, least = tried, error
    return best


def _tensors(
    model: onnx.ModelProto, names: list[str], faces: NDArray[np.float32]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Every tensor named, batch by batch, as the float network gives it."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for start in range(0, len(faces), _BATCH):
        batch = {model.graph.input[0].name: faces[start : start + _BATCH]}
        yield from zip(names, session.run(names, batch), strict=True)


@dataclass
class _Graph:
    """The new graph while it is made."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, NDArray[np.generic]] = field(default_factory=dict)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], f"{output}.{kind}", **attributes))

    def through_bytes(self, name: str, limits: _Range) -> None:
        """Adds ``name.real``: what is left of a tensor when it has been bytes."""
        parameters = [f"{name}.scale", f"{name}.zero"]
        self.constants.update(zip(parameters, map(np.array, (limits.scale, limits.zero_point)), strict=True))
        self.node("QuantizeLinear", [name, *parameters], f"{name}.bytes")
        self.node("DequantizeLinear", [f"{name}.bytes", *parameters], f"{name}.real")

    def constant(self, name: str, codes: NDArray[np.generic], scales: NDArray[np.float32]) -> None:
        """Adds ``name.real``, which is kept in integers with a scale for each of its first axis."""
        parameters = [f"{name}.{part}" for part in ("codes", "scale", "zero")]
        values = (codes, scales, np.zeros(len(scales), codes.dtype))
        self.constants.update(zip(parameters, values, strict=True))
        self.node("DequantizeLinear", parameters, f"{name}.real", axis=0)


def _in_bytes(model: onnx.ModelProto, inner: int, ranges: dict[str, _Range]) -> onnx.ModelProto:
    """The first ``inner`` nodes in bytes, the others as they are."""
    floats = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    graph = _Graph()
    picture = model.graph.input[0].name
    graph.through_bytes(picture, ranges[picture])
    for place, original in enumerate(model.graph.node):
        node = onnx.NodeProto()
        node.CopyFrom(original)
        for n, name in enumerate(original.input):
            if name in ranges:
                node.input[n] = f"{name}.real"
        if place < inner and original.op_type in _WITH_WEIGHTS:
            data, weight, bias = original.input
            _add_weights(graph, weight, bias, floats[weight], floats[bias], ranges[data].scale)
            node.input[1:] = [f"{weight}.real", f"{bias}.real"]
        graph.nodes.append(node)
        if place < inner:
            graph.through_bytes(original.output[0], ranges[original.output[0]])
    used = {name for node in graph.nodes for name in node.input}
    constants = {name: value for name, value in (floats | graph.constants).items() if name in used}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(graph.nodes)
    result.graph.initializer.extend(numpy_helper.from_array(*reversed(item)) for item in constants.items())
    return result


def _add_weights(
    graph: _Graph,
    weight_name: str,
    bias_name: str,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    data_scale: np.float32,
) -> None:
    """A weight, whose outputs are its first axis, in 8 bits, and its bias in 32."""
    rows = weight.reshape(len(weight), -1)
    # A bias has the scale of the products that it is added to, and must fit 32 bits there.
    least = np.maximum(np.abs(bias) / (float(data_scale) * 2**30), np.finfo(np.float32).tiny)
    scales = np.maximum(np.abs(rows).max(axis=1) / 127, least).astype(np.float32)
    codes = np.round(rows / scales[:, None]).clip(-127, 127).astype(np.int8)
    graph.constant(weight_name, codes.reshape(weight.shape), scales)
    bias_scales = scales * data_scale
    graph.constant(bias_name, np.round(bias / bias_scales.astype(np.float64)).astype(np.int32), bias_scales)
