"""ONNX files read where they lie: what they say of themselves, and a graph whose weights stay in the file.

A runtime that parses a file of 500 MB copies its weights twice, which takes a second. Weights that a graph
points to are mapped instead: nothing is copied, and processes that use one file share its memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# Where `crossface export` lets weights begin: what a processor reads at once then lies together.
WEIGHT_ALIGNMENT_BYTES = 64
# Smaller ones are shapes and biases, which a runtime wants to see.
LEAST_WEIGHT_BYTES = 1 << 12

# Field numbers of ModelProto, GraphProto, TensorProto and StringStringEntryProto (onnx.proto3).
GRAPH, METADATA_PROPS = 7, 14
INITIALIZER = 5
RAW_DATA, DOC_STRING, EXTERNAL_DATA, DATA_LOCATION = 9, 12, 13, 14
KEY, VALUE = 1, 2
_EXTERNAL = 1

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
                if text.end - text.start > _MOST_TEXT_BYTES:
                    raise ValueError("a text is too long")
                texts[text.number] = _read(file, text.start, text.end).decode()
            entries[texts[KEY]] = texts[VALUE]
    return entries


def read_graph(file: BinaryIO, name: str) -> bytes:
    """The model, with its large weights as external data that lies in the very file.

    Args:
        file: seekable.
        name: of the file, as the runtime is to look for it.

    Raises:
        ValueError: not a protocol buffer.
    """
    parts = []
    for field in _fields(file):
        if field.number == GRAPH:
            graph = [_pointed(file, part, name) for part in _fields(file, field)]
            parts.append(message(GRAPH, b"".join(graph)))
        else:
            parts.append(_read(file, field.tag, field.end))
    return b"".join(parts)


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
        length = 0
        if kind == _VARINT:
            _varint(file)
        else:
            length = _varint(file) if kind == _BYTES else lengths[kind]
        content = file.tell()
        if content + length > end:
            raise ValueError("a field is longer than what holds it")
        yield _Field(number, start, content, content + length)
        start = content + length


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


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
