"""TFLite to ONNX, for the convolutional networks that find faces.

The trunk is written channels first without a single transpose: every rank-4
tensor is laid out NCHW from the input on, and weights are transposed once,
here. The first axis is free (``N``) although TFLite files fix it to 1.

Only the operators that those networks use are known; any other is an error
that names it. Needs ``onnx`` and ``tflite``, which a render node lacks:
``face_models.fetch`` runs this in a process of its own when they are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import tflite
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..errors import BadInputError

OPSET = 17
IR_VERSION = 8
PRODUCER = "crossface"

_NHWC_TO_NCHW = (0, 3, 1, 2)
# Channels that ONNX Runtime's fastest layout keeps together (NCHWc on AVX-512; a multiple of AVX2's 8).
_BLOCK = 16
_OPERATOR_NAMES: dict[int, str] = {
    code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
}
_DTYPES = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}


@dataclass(frozen=True)
class Output:
    """How one output of the TFLite file is to appear in the ONNX file.

    Attributes:
        tensor: its name in the TFLite file.
        name: its name in the ONNX file.
        shape: without the first axis; the values are reshaped to it.
        sigmoid: True to turn a logit into 0..1 inside the graph.
    """

    tensor: str
    name: str
    shape: tuple[int, ...]
    sigmoid: bool = False


def convert(source: bytes, label: str, outputs: Sequence[Output]) -> onnx.ModelProto:
    """Converts one TFLite network with one image input.

    Args:
        source: the TFLite file.
        label: what to call it in messages.
        outputs: the outputs wanted, in order.

    Returns:
        A checked model: input ``image`` float32 ``[N, 3, H, W]`` in the range that the
        TFLite file expects, outputs as asked for. The same bytes give the same model.

    Raises:
        BadInputError: no TFLite file, or it uses something that this reader does not know.
    """
    if source[4:8] != b"TFL3":
        raise BadInputError(f'{label}: not a TFLite file; get it again with "crossface weights"')
    return _Converter(tflite.Model.GetRootAs(source, 0), label).run(outputs)


class _Converter:
    def __init__(self, model: tflite.Model, label: str) -> None:
        self.model = model
        self.graph = model.Subgraphs(0)
        self.label = label
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.dequantized: dict[int, NDArray[Any]] = {}
        # Pictures that come in or go out, or are taken to pieces.
        self.seen = {self.graph.Inputs(0), *map(int, self.graph.OutputsAsNumpy())}
        self.operators: dict[str, Callable[[tflite.Operator], None]] = {
            "ADD": self._add,
            "CONCATENATION": self._concatenation,
            "CONV_2D": self._conv,
            "DEPTHWISE_CONV_2D": self._depthwise_conv,
            "DEQUANTIZE": self._dequantize,
            "MAX_POOL_2D": self._max_pool,
            "PAD": self._pad,
            "PRELU": self._prelu,
            "RELU": self._relu,
            "RESHAPE": self._reshape,
        }

    def run(self, outputs: Sequence[Output]) -> onnx.ModelProto:
        image = self.graph.Inputs(0)
        _, height, width, channels = self._shape(image)
        steps = [self.graph.Operators(k) for k in range(self.graph.OperatorsLength())]
        self.seen.update(step.Inputs(0) for step in steps if self._kind(step) == "RESHAPE")
        for step in steps:
            name = self._kind(step)
            if name not in self.operators:
                raise self._unknown(f"operator {name}")
            self.operators[name](step)
        for output in outputs:
            self._finish(output)

        graph = helper.make_graph(
            self.nodes,
            self.label,
            [
                helper.make_tensor_value_info(
                    self._name(image), TensorProto.FLOAT, ["N", channels, height, width]
                )
            ],
            [helper.make_tensor_value_info(o.name, TensorProto.FLOAT, ["N", *o.shape]) for o in outputs],
            list(self.initializers.values()),
        )
        model = helper.make_model(
            graph,
            producer_name=PRODUCER,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _kind(self, operator: tflite.Operator) -> str:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        # Files older than schema 3a keep the code in a byte that newer ones fill with a placeholder.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        return _OPERATOR_NAMES.get(number, f"number {number}")

    def _finish(self, output: Output) -> None:
        published = [int(tensor) for tensor in self.graph.OutputsAsNumpy()]
        names = [self.graph.Tensors(tensor).Name().decode() for tensor in published]
        if output.tensor not in names:
            raise BadInputError(f"{self.label}: no output {output.tensor}, only {', '.join(names)}")
        value = self._name(published[names.index(output.tensor)])
        if output.sigmoid:
            value = self._emit("Sigmoid", [value], f"{output.name}/sigmoid")
        shape = self._constant(f"{output.name}/shape", np.array([-1, *output.shape], np.int64))
        self._emit("Reshape", [value, shape], output.name)

    def _conv(self, operator: tflite.Operator) -> None:
        options = tflite.Conv2DOptions()
        self._read_options(operator, options)
        # TFLite keeps [out, kh, kw, in].
        weight = self._values(operator.Inputs(1)).transpose(_NHWC_TO_NCHW)
        self._convolve(operator, options, _grown(weight, 1, self._channels(operator.Inputs(0))), groups=1)

    def _depthwise_conv(self, operator: tflite.Operator) -> None:
        options = tflite.DepthwiseConv2DOptions()
        self._read_options(operator, options)
        # TFLite keeps [1, kh, kw, in * multiplier].
        weight = self._values(operator.Inputs(1)).transpose(3, 0, 1, 2)
        self._convolve(operator, options, weight, groups=self._channels(operator.Inputs(0)))

    def _convolve(self, operator: tflite.Operator, options: Any, weight: NDArray[Any], groups: int) -> None:
        channels = self._channels(operator.Outputs(0))
        weight_name = self._constant(self._name(operator.Inputs(1)), _grown(weight, 0, channels))
        bias = _grown(self._values(operator.Inputs(2)), 0, channels)
        bias_name = self._constant(self._name(operator.Inputs(2)), bias)
        dilations = (options.DilationHFactor(), options.DilationWFactor())
        self._emit_activated(
            "Conv",
            [self._name(operator.Inputs(0)), weight_name, bias_name],
            operator,
            options,
            kernel_shape=weight.shape[2:],
            strides=(options.StrideH(), options.StrideW()),
            dilations=dilations,
            group=groups,
            pads=self._explicit_pads(operator, options, weight.shape[2:], dilations),
        )

    def _max_pool(self, operator: tflite.Operator) -> None:
        options = tflite.Pool2DOptions()
        self._read_options(operator, options)
        kernel = (options.FilterHeight(), options.FilterWidth())
        self._emit_activated(
            "MaxPool",
            [self._name(operator.Inputs(0))],
            operator,
            options,
            kernel_shape=kernel,
            strides=(options.StrideH(), options.StrideW()),
            pads=self._explicit_pads(operator, options, kernel, (1, 1)),
        )

    def _explicit_pads(
        self, operator: tflite.Operator, options: Any, kernel: Sequence[int], dilations: Sequence[int]
    ) -> list[int]:
        """ONNX ``pads`` (top, left, bottom, right) of TFLite's SAME or VALID rule."""
        if options.Padding() == tflite.Padding.VALID:
            return [0, 0, 0, 0]
        sizes = self._shape(operator.Inputs(0))[1:3]
        strides = (options.StrideH(), options.StrideW())
        before, after = [], []
        for size, stride, taps, dilation in zip(sizes, strides, kernel, dilations, strict=True):
            steps = -(-size // stride) - 1
            total = max(steps * stride + (taps - 1) * dilation + 1 - size, 0)
            # An odd total puts the extra sample behind, which ONNX's "SAME_UPPER" does too, but
            # explicit pads are what every runtime reads alike.
            before.append(total // 2)
            after.append(total - total // 2)
        return before + after

    def _add(self, operator: tflite.Operator) -> None:
        options = tflite.AddOptions()
        self._read_options(operator, options)
        left, right = operator.Inputs(0), operator.Inputs(1)
        if self._shape(left) != self._shape(right):
            raise self._unknown("operator ADD with broadcasting")
        self._emit_activated("Add", [self._name(left), self._name(right)], operator, options)

    def _relu(self, operator: tflite.Operator) -> None:
        self._emit("Relu", [self._name(operator.Inputs(0))], self._name(operator.Outputs(0)))

    def _prelu(self, operator: tflite.Operator) -> None:
        # As x + (1 - a) relu(-x), of depthwise convolutions: ONNX Runtime keeps its blocked layout through
        # those, and leaving it for PRelu, or for Min and Mul, cost as much as the rest of the network.
        value, result = self._name(operator.Inputs(0)), self._name(operator.Outputs(0))
        slope = self._values(operator.Inputs(1)).reshape(-1)
        if slope.size != self._shape(operator.Inputs(0))[3]:
            raise self._unknown("operator PRELU with a slope for each pixel")
        slope = _grown(slope, 0, self._channels(operator.Inputs(0)))
        below = self._scale(value, np.full_like(slope, -1.0), f"{result}/below")
        rest = self._scale(self._emit("Relu", [below], f"{result}/above"), 1.0 - slope, f"{result}/rest")
        self._emit("Add", [value, rest], result)

    def _scale(self, value: str, factors: NDArray[Any], result: str) -> str:
        """Each channel times its factor."""
        weight = self._constant(f"{result}/factors", factors.reshape(-1, 1, 1, 1))
        return self._emit("Conv", [value, weight], result, kernel_shape=(1, 1), group=factors.size)

    def _pad(self, operator: tflite.Operator) -> None:
        before_after = self._values(operator.Inputs(1))
        if before_after.shape != (4, 2) or before_after[:3].any():
            raise self._unknown("operator PAD of more than channels")
        value, result = self._name(operator.Inputs(0)), self._name(operator.Outputs(0))
        # New channels of zeros: a convolution, for the blocked layout's sake (see `_prelu`).
        shape = self._channels(operator.Outputs(0)), self._channels(operator.Inputs(0))
        identity = np.eye(*shape, k=-int(before_after[3, 0]), dtype=np.float32)
        weight = self._constant(f"{result}/identity", identity[:, :, None, None])
        self._emit("Conv", [value, weight], result, kernel_shape=(1, 1))

    def _reshape(self, operator: tflite.Operator) -> None:
        value, result = self._name(operator.Inputs(0)), self._name(operator.Outputs(0))
        shape = self._shape(operator.Outputs(0))
        if len(shape) == 4:
            raise self._unknown("operator RESHAPE to rank 4")
        if len(self._shape(operator.Inputs(0))) == 4:
            value = self._emit("Transpose", [value], f"{result}/channels_last", perm=(0, 2, 3, 1))
        target = self._constant(f"{result}/shape", np.array([-1, *shape[1:]], np.int64))
        self._emit("Reshape", [value, target], result)

    def _concatenation(self, operator: tflite.Operator) -> None:
        options = tflite.ConcatenationOptions()
        self._read_options(operator, options)
        rank = len(self._shape(operator.Outputs(0)))
        axis = options.Axis() % rank
        if rank == 4:
            raise self._unknown("operator CONCATENATION of pictures")
        self._emit_activated(
            "Concat",
            [self._name(int(tensor)) for tensor in operator.InputsAsNumpy()],
            operator,
            options,
            axis=axis,
        )

    def _dequantize(self, operator: tflite.Operator) -> None:
        stored = self._values(operator.Inputs(0))
        if stored.dtype != np.float16:
            raise self._unknown("operator DEQUANTIZE of integers")
        self.dequantized[operator.Outputs(0)] = stored.astype(np.float32)

    def _emit_activated(
        self, kind: str, inputs: list[str], operator: tflite.Operator, options: Any, **attributes: Any
    ) -> None:
        result = self._name(operator.Outputs(0))
        activation = options.FusedActivationFunction()
        if activation == tflite.ActivationFunctionType.NONE:
            self._emit(kind, inputs, result, **attributes)
        elif activation == tflite.ActivationFunctionType.RELU:
            linear = self._emit(kind, inputs, f"{result}/linear", **attributes)
            self._emit("Relu", [linear], result)
        else:
            raise self._unknown(f"fused activation {activation}")

    def _emit(self, kind: str, inputs: list[str], result: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [result], name=result, **attributes))
        return result

    def _constant(self, name: str, values: NDArray[Any]) -> str:
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(
                np.ascontiguousarray(values).reshape(values.shape), name
            )
        return name

    def _values(self, tensor: int) -> NDArray[Any]:
        """The constant behind a tensor, in the TFLite file's own layout."""
        if tensor in self.dequantized:
            return self.dequantized[tensor]
        description = self.graph.Tensors(tensor)
        buffer = self.model.Buffers(description.Buffer())
        if buffer.DataLength() == 0:
            raise self._unknown(f"computed operand {self._name(tensor)} where a constant is expected")
        if description.Type() not in _DTYPES:
            raise self._unknown(f"tensor type {description.Type()}")
        return np.frombuffer(buffer.DataAsNumpy().tobytes(), _DTYPES[description.Type()]).reshape(
            self._shape(tensor)
        )

    def _channels(self, tensor: int) -> int:
        """Of a picture as it is written: inside the network whole blocks, filled up with zeros."""
        channels = self._shape(tensor)[3]
        return channels if tensor in self.seen else -(-channels // _BLOCK) * _BLOCK

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(size) for size in self.graph.Tensors(tensor).ShapeAsNumpy())

    def _name(self, tensor: int) -> str:
        if tensor == self.graph.Inputs(0):
            return "image"
        # The number keeps names apart that the file uses twice, and from the outputs' new ones.
        return f"{tensor}:{self.graph.Tensors(tensor).Name().decode()}"

    def _read_options(self, operator: tflite.Operator, options: Any) -> None:
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)

    def _unknown(self, what: str) -> BadInputError:
        return BadInputError(
            f"{self.label}: {what} is not supported; engine/weights/tflite.py would have to learn it"
        )


def _grown(values: NDArray[Any], axis: int, length: int) -> NDArray[Any]:
    """With zeros appended along one axis."""
    more = [(0, length - size if n == axis else 0) for n, size in enumerate(values.shape)]
    return np.pad(values, more)
