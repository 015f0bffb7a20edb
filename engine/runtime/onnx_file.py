"""ONNX files read where they lie: what they say of themselves, and a graph whose weights stay in the file.

A runtime that parses a file of 500 MB copies its weights twice, which takes a second. Weights that a graph
points to are mapped instead: nothing is copied, and processes that use one file share its memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, unreadable
from .base import FloatType, Tensor

# Where `crossface export` lets weights begin: what a processor reads at once then lies together.
WEIGHT_ALIGNMENT_BYTES = 64
# Smaller ones are shapes and biases, which a runtime wants to see.
LEAST_WEIGHT_BYTES = 1 << 12

# Field numbers of ModelProto, GraphProto, TensorProto and StringStringEntryProto (onnx.proto3).
GRAPH, METADATA_PROPS = 7, 14
INITIALIZER = 5
DIMS, DATA_TYPE, INITIALIZER_NAME = 1, 2, 8
RAW_DATA, DOC_STRING, EXTERNAL_DATA, DATA_LOCATION = 9, 12, 13, 14
KEY, VALUE = 1, 2
_EXTERNAL = 1
# Of GraphProto, ValueInfoProto, TypeProto, its Tensor, TensorShapeProto and its Dimension.
_INPUT, _OUTPUT = 11, 12
_NAME, _TYPE = 1, 2
_TENSOR_TYPE = 1
_ELEMENT_TYPE, _SHAPE = 1, 2
_DIMENSION = 1
_SIDE, _SIDE_NAME = 1, 2
_FLOATS: dict[int, FloatType] = {1: np.dtype(np.float32), 10: np.dtype(np.float16)}

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MOST_TEXT_BYTES = 1 << 24
# No number in a weight is longer.
_LEAST_ALIGNMENT_BYTES = 8


def read_metadata(file: BinaryIO) -> dict[str, str]:
    """The entries of ``metadata_props``, by key; weights are passed over.

    Args:
        file: seekable.

    Raises:
        ValueError: not a protocol buffer.
    """
    entries: dict[str, str] = {}
    for field in _fields(file):
        if field.number == METADATA_PROPS:
            texts = {KEY: "", VALUE: ""}
            for text in _fields(file, field):
                texts[text.number] = _text(file, text)
            entries[texts[KEY]] = texts[VALUE]
    return entries


@dataclass(frozen=True)
class Signature:
    """What goes into a network of one input, and what comes out of it.

    Attributes:
        side_names: what the file calls the sides of the input; empty for those that are fixed.
    """

    input: Tensor
    outputs: tuple[Tensor, ...]
    side_names: tuple[str, ...]

    def at(self, shape: tuple[int, ...]) -> Signature:
        """With an input of this shape.

        Raises:
            ValueError: the file is for other shapes.
        """
        fits = len(shape) == len(self.input.shape) and all(
            b in (None, a) for a, b in zip(shape, self.input.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"{self.input}: takes no input of {shape}")
        return replace(self, input=replace(self.input, shape=shape))


def read_signature(file: BinaryIO) -> Signature:
    """Input and outputs, without a runtime; weights are passed over.

    Args:
        file: seekable.

    Raises:
        ValueError: not a protocol buffer, or not a network of one float input and float outputs.
    """
    inputs, outputs = read_tensors(file)
    if len(inputs) != 1 or not outputs:
        raise ValueError("not a network of one float input and float outputs")
    return Signature(inputs[0][0], tuple(tensor for tensor, _ in outputs), inputs[0][1])


# A tensor, and what the file calls its sides.
Named = tuple[Tensor, tuple[str, ...]]


def read_tensors(file: BinaryIO) -> tuple[list[Named], list[Named]]:
    """Inputs and outputs of a network of any number of them, without a runtime; weights are passed over.

    Args:
        file: seekable.

    Raises:
        ValueError: not a protocol buffer, an input or output that is no float tensor, or weights that lie in
            other files.
    """
    inputs, outputs = [], []
    weights: set[str] = set()
    for field in _fields(file):
        if field.number == GRAPH:
            for part in _fields(file, field):
                if part.number == _INPUT:
                    inputs.append(_tensor(file, part))
                elif part.number == _OUTPUT:
                    outputs.append(_tensor(file, part))
                elif part.number == INITIALIZER:
                    _check_inside(file, _fields(file, part))
                    weights.add(_name(file, part, INITIALIZER_NAME))
    # Older files list their weights among the inputs.
    return [named for named in inputs if named[0].name not in weights], outputs


def declared(model: Path, shape: tuple[int, ...]) -> Signature:
    """What a file says of its network, for an input of this shape.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not an ONNX network of one float input and float outputs, or not for this shape.
    """
    try:
        with model.open("rb") as file:
            return read_signature(file).at(shape)
    except OSError as error:
        raise unreadable(model, error) from error
    except ValueError as error:
        raise BadInputError(f"{model}: not an ONNX network that can be used ({error})") from error


def _tensor(file: BinaryIO, value: _Field) -> tuple[Tensor, tuple[str, ...]]:
    """An input or output, and the names of its sides."""
    parts = {part.number: part for part in _fields(file, value)}
    of_type = {part.number: part for part in _fields(file, parts[_TYPE])} if _TYPE in parts else {}
    if _NAME not in parts or _TENSOR_TYPE not in of_type:
        raise ValueError("an input or output has no name or is no tensor")
    tensor = {part.number: part for part in _fields(file, of_type[_TENSOR_TYPE])}
    element_type = _number_at(file, tensor[_ELEMENT_TYPE]) if _ELEMENT_TYPE in tensor else 0
    if element_type not in _FLOATS:
        raise ValueError("not a network of one float input and float outputs")
    sides: list[int | None] = []
    names: list[str] = []
    for field in _fields(file, tensor[_SHAPE]) if _SHAPE in tensor else ():
        if field.number == _DIMENSION:
            side = {part.number: part for part in _fields(file, field)}
            sides.append(_number_at(file, side[_SIDE]) if _SIDE in side else None)
            names.append(_text(file, side[_SIDE_NAME]) if _SIDE_NAME in side else "")
    return Tensor(_text(file, parts[_NAME]), tuple(sides), _FLOATS[element_type]), tuple(names)


def read_graph(
    file: BinaryIO, name: str, constants: Mapping[str, NDArray[np.float32]] | None = None
) -> bytes:
    """The model, with its large weights as external data that lies in the very file.

    Args:
        file: seekable.
        name: of the file, as the runtime is to look for it.
        constants: inputs that become weights of these values.

    Raises:
        ValueError: not a protocol buffer, or its weights lie in other files.
    """
    constants = constants or {}
    parts = []
    for field in _fields(file):
        if field.number == GRAPH:
            graph = [
                _pointed(file, part, name)
                for part in _fields(file, field)
                if part.number != _INPUT or _name(file, part, _NAME) not in constants
            ]
            graph += [_weight(*constant) for constant in constants.items()]
            parts.append(message(GRAPH, b"".join(graph)))
        else:
            parts.append(_read(file, field.tag, field.end))
    return b"".join(parts)


def _weight(name: str, values: NDArray[np.float32]) -> bytes:
    """A float32 weight as a field of a graph."""
    parts = [_number(DIMS << 3 | _VARINT) + _number(side) for side in values.shape]
    parts += [_number(DATA_TYPE << 3 | _VARINT) + _number(1), message(INITIALIZER_NAME, name.encode())]
    parts.append(message(RAW_DATA, values.astype("<f4").tobytes()))
    return message(INITIALIZER, b"".join(parts))


def message(number: int, content: bytes) -> bytes:
    """A field of text, bytes or further fields."""
    return message_head(number, len(content)) + content


def message_head(number: int, length: int) -> bytes:
    """What stands before the content of a field of text, bytes or further fields."""
    return _number(number << 3 | _BYTES) + _number(length)


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class _Field:
    """Of a message in a file: its number, and where its tag and its content begin, and where it ends."""

    number: int
    tag: int
    start: int
    end: int


def _pointed(file: BinaryIO, field: _Field, name: str) -> bytes:
    """A field of a graph; a large weight without its numbers, but with the place where they lie."""
    if field.number != INITIALIZER:
        return _read(file, field.tag, field.end)
    parts = list(_fields(file, field))
    _check_inside(file, parts)
    raw = next((part for part in parts if part.number == RAW_DATA), None)
    if raw is None or raw.end - raw.start < LEAST_WEIGHT_BYTES or raw.start % _LEAST_ALIGNMENT_BYTES:
        return _read(file, field.tag, field.end)
    kept = [_read(file, part.tag, part.end) for part in parts if part.number not in (RAW_DATA, DOC_STRING)]
    place = {"location": name, "offset": str(raw.start), "length": str(raw.end - raw.start)}
    for key, value in place.items():
        kept.append(message(EXTERNAL_DATA, message(KEY, key.encode()) + message(VALUE, value.encode())))
    kept.append(_number(DATA_LOCATION << 3 | _VARINT) + _number(_EXTERNAL))
    return message(INITIALIZER, b"".join(kept))


def _fields(file: BinaryIO, outer: _Field | None = None) -> Iterator[_Field]:
    """Of a whole file, or of a field of it."""
    start, end = (outer.start, outer.end) if outer else (0, file.seek(0, os.SEEK_END))
    while start < end:
        file.seek(start)
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        lengths = {_FIXED_64: 8, _FIXED_32: 4}
        if not number or kind not in (_VARINT, _BYTES, *lengths):
            raise ValueError(f"no field has the tag {tag}")
        length = _varint(file) if kind == _BYTES else lengths.get(kind, 0)
        content = file.tell()
        if kind == _VARINT:
            _varint(file)
            length = file.tell() - content
        if content + length > end:
            raise ValueError("a field is longer than what holds it")
        yield _Field(number, start, content, content + length)
        start = content + length


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _check_inside(file: BinaryIO, parts: Iterable[_Field]) -> None:
    """Raises ValueError for a weight in another file: a path in a stranger's file is not followed."""
    if any(part.number == DATA_LOCATION and _number_at(file, part) == _EXTERNAL for part in parts):
        raise ValueError("its weights lie in another file: save it as one file")


def _name(file: BinaryIO, field: _Field, number: int) -> str:
    """The text in a part of a field; empty where it has none."""
    return next((_text(file, part) for part in _fields(file, field) if part.number == number), "")


def _text(file: BinaryIO, field: _Field) -> str:
    if field.end - field.start > _MOST_TEXT_BYTES:
        raise ValueError("a text is too long")
    return _read(file, field.start, field.end).decode()


def _number_at(file: BinaryIO, field: _Field) -> int:
    file.seek(field.start)
    return _varint(file)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise ValueError("the file is cut short")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise ValueError("a number is too long")
