"""Graphs of TensorFlow.js, as packages keep them in JavaScript files, to ONNX.

Such a file is a module around one literal: the nodes and a list of all weights, or a shard of these weights
in base64. The literals are read as what they are; nothing in the files is run. Weights of 8 bits stay so in
the ONNX file, which multiplies them out as the list says: ``value = byte * scale + min``.

Only the operators that our network has are known; any other is an error that names it. Needs ``onnx``, as
`tflite`.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..errors import BadInputError
from .graph import Graph

_LITERAL = re.compile(r'\.exports=(?=[{"])')
_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|!(?P<truth>[01])|(?P<word>[A-Za-z_$][\w$]*)'
    r"|(?P<sign>-?)(?P<number>(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|(?P<mark>[{}\[\],:])"
)
_HWIO_TO_OIHW = (3, 2, 0, 1)
# Of one filter a channel: [height, width, channel, 1].
_HWC1_TO_C1HW = (2, 3, 0, 1)

Node = Mapping[str, Any]


def convert(source: bytes, label: str, output: str) -> onnx.ModelProto:
    """Converts a network with one picture as its input and one vector of classes as its output.

    Args:
        source: the file of the nodes, then the shards of the weights, one after the other.
        label: what to call the network.
        output: what to call its output.

    Returns:
        A checked model: input ``image`` float32 ``[N, 3, H, W]``, output ``[N, classes]``.

    Raises:
        BadInputError: no such files, or they hold something that this reader does not know.
    """
    try:
        topology, *shards = _literals(source.decode("ascii"))
        (group,) = topology["weightsManifest"]
        if len(shards) != len(group["paths"]):
            raise ValueError(f"{len(shards)} shards of {len(group['paths'])}")
        weights = b"".join(base64.b64decode(shard, validate=True) for shard in shards)
        return _Converter(label, group["weights"], weights).run(topology["modelTopology"]["node"], output)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadInputError(f'{label}: not the published files ({error}); run "crossface weights"') from error


def _literals(text: str) -> Iterator[Any]:
    """What each module holds."""
    for found in _LITERAL.finditer(text):
        yield json.loads("".join(_as_json(text, found.end())))


def _as_json(text: str, position: int) -> Iterator[str]:
    """The tokens of one literal, as JSON spells them."""
    depth = 0
    while True:
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"no literal at {position}")
        position = token.end()
        if token["truth"]:
            yield "true" if token["truth"] == "0" else "false"
        elif token["word"]:
            yield token["word"] if token["word"] == "null" else f'"{token["word"]}"'
        elif token["number"]:
            yield f"{token['sign']}{'0' * token['number'].startswith('.')}{token['number']}"
        else:
            yield token[0]
        depth += token[0] in ("{", "[")
        depth -= token[0] in ("}", "]")
        if depth == 0:
            return


class _Weight(NamedTuple):
    """``codes * scale + least``."""

    codes: NDArray[np.uint8]
    scale: float
    least: float


class _Converter(Graph):
    def __init__(self, label: str, listed: list[Mapping[str, Any]], weights: bytes) -> None:
        super().__init__()
        self._label = label
        self._weight: dict[str, _Weight] = {}
        position = 0
        for entry in listed:
            coding = entry["quantization"]
            if coding["dtype"] != "uint8":
                raise self._unknown(f"weights of {coding['dtype']}")
            count = math.prod(entry["shape"])
            codes = np.frombuffer(weights, np.uint8, count, position).reshape(entry["shape"])
            self._weight[entry["name"]] = _Weight(codes, float(coding["scale"]), float(coding["min"]))
            position += count
        if position != len(weights):
            raise ValueError(f"{len(weights)} bytes of weights, of which {position} are listed")
        # By the file's name of a value, its name here.
        self._names: dict[str, str] = {}
        self._operators: dict[str, Callable[[Node, list[str]], str]] = {
            "AddV2": lambda node, inputs: self.emit("Add", *inputs),
            "AvgPool": self._average_pool,
            "FusedDepthwiseConv2dNative": self._convolution,
            "Identity": lambda node, inputs: self._named(inputs[0]),
            "Mul": lambda node, inputs: self.emit("Mul", *inputs),
            "Softmax": lambda node, inputs: self.emit("Softmax", *inputs),
            "Squeeze": lambda node, inputs: self.emit("Flatten", *inputs),
            "Sub": lambda node, inputs: self.emit("Sub", *inputs),
            "_FusedConv2D": self._convolution,
            "_FusedMatMul": self._dense,
        }

    def run(self, nodes: list[Node], output: str) -> onnx.ModelProto:
        image: tuple[int, ...] = ()
        classes = 0
        for node in nodes:
            name, kind = node["name"], node["op"]
            if kind == "Placeholder":
                _, height, width, channels = (int(side["size"]) for side in _attribute(node, "shape")["dim"])
                image = channels, height, width
                self._names[name] = "image"
            elif kind in self._operators:
                self._names[name] = self._operators[kind](node, node["input"])
                if kind == "_FusedMatMul":
                    classes = self._weight[node["input"][1]].codes.shape[1]
            elif kind != "Const":
                raise self._unknown(f"operator {kind}")
        super().emit("Identity", self._names[nodes[-1]["name"]], output=output)
        return self.finished(self._label, image, output, (classes,))

    def emit(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """As `Graph.emit`, of values by the file's names too."""
        return super().emit(kind, *map(self._named, inputs), output=output, **attributes)

    def _named(self, name: str) -> str:
        if name in self._weight and name not in self._names:
            weight = self._weight[name]
            self._names[name] = self.constant((weight.codes * weight.scale + weight.least).astype(np.float32))
        return self._names.get(name, name)

    def _convolution(self, node: Node, inputs: list[str]) -> str:
        self._need(node, data_format="NHWC")
        x, kernel, bias = inputs
        depthwise = node["op"] == "FusedDepthwiseConv2dNative"
        _, height, width, _ = _integers(node, "strides")
        if _integers(node, "dilations") != [1] * 4:
            raise self._unknown("a dilated convolution")
        same = _text(_attribute(node, "padding")) == "SAME"
        return self._fused(
            node,
            self.emit(
                "Conv",
                x,
                self._multiplied_out(kernel, _HWC1_TO_C1HW if depthwise else _HWIO_TO_OIHW),
                bias,
                strides=[height, width],
                # Where the padding is odd, both put the greater part after the picture.
                auto_pad="SAME_UPPER" if same else "VALID",
                group=self._weight[kernel].codes.shape[2] if depthwise else 1,
            ),
        )

    def _dense(self, node: Node, inputs: list[str]) -> str:
        x, kernel, bias = inputs
        if any(_attribute(node, name) for name in ("transpose_a", "transpose_b")):
            raise self._unknown("a transposed product")
        return self._fused(node, self.emit("Add", self.emit("MatMul", x, self._multiplied_out(kernel)), bias))

    def _fused(self, node: Node, x: str) -> str:
        """What follows in the same node; the bias is done already."""
        fused = [_text(each) for each in _attribute(node, "fused_ops")["s"]]
        if fused[0] != "BiasAdd" or fused[1:] not in ([], ["Relu6"]):
            raise self._unknown(f"fused {', '.join(fused)}")
        if not fused[1:]:
            return x
        return self.emit("Clip", x, *(self.constant(np.array(limit, np.float32)) for limit in (0.0, 6.0)))

    def _average_pool(self, node: Node, inputs: list[str]) -> str:
        self._need(node, data_format="NHWC", padding="VALID")
        size, strides = (_integers(node, name)[1:3] for name in ("ksize", "strides"))
        return self.emit("AveragePool", *inputs, kernel_shape=size, strides=strides)

    def _multiplied_out(self, name: str, axes: tuple[int, ...] | None = None) -> str:
        """Weights that are kept in 8 bits, and used in 32."""
        codes, scale, least = self._weight[name]
        kept = self.constant(codes if axes is None else codes.transpose(axes))
        x = self.emit("Cast", kept, to=TensorProto.FLOAT)
        x = self.emit("Mul", x, self.constant(np.array(scale, np.float32)))
        return self.emit("Add", x, self.constant(np.array(least, np.float32)))

    def _need(self, node: Node, **values: str) -> None:
        for key, value in values.items():
            if _text(_attribute(node, key)) != value:
                raise self._unknown(f"{key} {_text(_attribute(node, key))} of {node['op']}")

    def _unknown(self, what: str) -> BadInputError:
        return BadInputError(
            f"{self._label}: {what} is not supported; engine/weights/tfjs.py would have to learn it"
        )


def _attribute(node: Node, name: str) -> Any:
    """Its value, whatever kind of value it is."""
    (value,) = node["attr"][name].values()
    return value


def _integers(node: Node, name: str) -> list[int]:
    return [int(each) for each in _attribute(node, name)["i"]]


def _text(value: str | Mapping[str, str]) -> str:
    """Texts are kept in base64."""
    return base64.b64decode(value if isinstance(value, str) else value["s"]).decode()
