"""dlib's network that tells faces apart, from dlib's own file to ONNX.

The file is a stream: the layers one after another, from the picture to the result, each by its name, then
its weights, then numbers that its shape says already. Weights are a version, four sizes and 32-bit floats; a
whole number is a byte that counts the bytes that follow (with a sign in its highest bit), the least first.
What is between the convolutions is not read: it is the residual network of He et al. (CVPR 2016) with 29
layers, half as wide, as dlib documents it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..errors import BadInputError
from .graph import Graph

CROP_PX = 150
_NUMBERS = 128
_MEAN_RGB, _SCALE = (122.782, 117.001, 104.298), 256
# Channels and blocks of two convolutions each, and whether the first of these halves the picture.
_GROUPS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
_TAGS = (b"con_4", b"affine_", b"fc_2")

Array = NDArray[np.float32]


class _Layer(NamedTuple):
    tag: bytes
    weights: Array


def convert(source: bytes) -> onnx.ModelProto:
    """``image`` ``[N, 3, 150, 150]``, RGB 0..1, to ``look`` ``[N, 128]``; weights are kept in 16 bits.

    Raises:
        BadInputError: another file than dlib's.
    """
    graph = _Graph(_layers(source))
    x = graph.emit("Mul", "image", graph.constant(np.array([255 / _SCALE], np.float32)))
    mean = np.array(_MEAN_RGB, np.float32).reshape(1, 3, 1, 1) / _SCALE
    x = graph.emit("Sub", x, graph.constant(mean))
    x = graph.emit("Relu", graph.convolution(x, 3, 32, size=7, stride=2))
    x = graph.emit("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    before, side_px = 32, 35
    for channels, blocks, halves in _GROUPS:
        for block in range(blocks):
            halved = halves and block == 0
            inner = graph.convolution(x, before, channels, stride=2 if halved else 1)
            inner = graph.convolution(graph.emit("Relu", inner), channels, channels)
            if halved:
                x = graph.emit("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
                # Where sizes differ, dlib adds what is there.
                inner_px, side_px = (side_px - 3) // 2 + 1, side_px // 2
                inner = graph.padded(inner, bottom_right=side_px - inner_px)
                x = graph.padded(x, channels=channels - before)
            x, before = graph.emit("Relu", graph.emit("Add", x, inner)), channels
    x = graph.emit("Flatten", graph.emit("GlobalAveragePool", x))
    last = graph.take(b"fc_2", before * _NUMBERS).reshape(before, _NUMBERS)
    graph.emit("MatMul", x, graph.halves(last), output="look")
    return graph.model()


class _Graph(Graph):
    """With the file's weights, in order."""

    def __init__(self, layers: Iterator[_Layer]) -> None:
        super().__init__()
        self._layers = layers

    def take(self, tag: bytes, count: int) -> Array:
        """Weights of the next layer, which must be so many, of such a layer."""
        layer = next(self._layers, None)
        if layer is None or layer.tag != tag or len(layer.weights) != count:
            raise _not_dlibs()
        return layer.weights

    def halves(self, values: Array) -> str:
        """Weights that are kept in 16 bits, and used in 32."""
        kept = self.constant(values.astype(np.float16))
        return self.emit("Cast", kept, to=TensorProto.FLOAT)

    def convolution(self, x: str, before: int, channels: int, *, size: int = 3, stride: int = 1) -> str:
        """With the factor and the offset a channel that follow it."""
        filters = channels * before * size * size
        weights = self.take(b"con_4", filters + channels)
        factor, offset = np.split(self.take(b"affine_", 2 * channels), 2)
        kernel = weights[:filters].reshape(channels, before, size, size) * factor[:, None, None, None]
        bias = weights[filters:] * factor + offset
        edge = size // 2 if stride == 1 else 0
        inputs = [x, self.halves(kernel), self.constant(bias)]
        return self.emit("Conv", *inputs, strides=[stride, stride], pads=[edge] * 4)

    def padded(self, x: str, *, bottom_right: int = 0, channels: int = 0) -> str:
        """With zeros at the ends of rows and columns, and of the channels."""
        if not bottom_right and not channels:
            return x
        ends = np.array([0, 0, 0, 0, 0, channels, bottom_right, bottom_right])
        return self.emit("Pad", x, self.constant(ends))

    def model(self) -> onnx.ModelProto:
        if next(self._layers, None) is not None:
            raise _not_dlibs()
        return self.finished("face_identity", (3, CROP_PX, CROP_PX), "look", (_NUMBERS,))


def _layers(source: bytes) -> Iterator[_Layer]:
    position = 0
    while True:
        # Text inside of weights cannot mislead: these are passed over.
        starts = {tag: source.find(tag, position) for tag in _TAGS}
        tag = min((tag for tag in starts if starts[tag] >= 0), key=lambda tag: starts[tag], default=None)
        if tag is None:
            return
        position = starts[tag] + len(tag)
        numbers = []
        for _ in range(7 if tag == b"fc_2" else 5):
            number, position = _whole(source, position)
            numbers.append(number)
        version, *sizes = numbers[-5:]
        count = math.prod(sizes)
        if version != 2 or not 0 < count <= (len(source) - position) // 4:
            raise _not_dlibs()
        yield _Layer(tag, np.frombuffer(source, "<f4", count, position))
        position += 4 * count


def _whole(source: bytes, position: int) -> tuple[int, int]:
    """A number, and where the next one begins."""
    if position >= len(source):
        raise _not_dlibs()
    begin = position + 1
    end = begin + (source[position] & 0x7F)
    return int.from_bytes(source[begin:end], "little"), end


def _not_dlibs() -> BadInputError:
    return BadInputError('face_identity: not the file that dlib wrote; run "crossface weights --people"')
