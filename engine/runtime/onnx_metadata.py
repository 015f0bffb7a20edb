"""An ONNX file's ``metadata_props``, read without its weights: a file of 500 MB opens in no time."""

from __future__ import annotations

import os
from typing import BinaryIO

# Fields of ModelProto and StringStringEntryProto (onnx.proto3).
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MOST_BYTES = 1 << 24


def read_metadata(file: BinaryIO) -> dict[str, str]:
    """The entries, by key.

    Args:
        file: open at its start, and seekable.

    Raises:
        ValueError: not a protocol buffer.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    entries: dict[str, str] = {}
    while file.tell() < size:
        number, length = _field(file)
        if number != _METADATA_PROPS:
            if length > size - file.tell():
                raise ValueError("a field is longer than the file")
            file.seek(length, os.SEEK_CUR)
            continue
        texts = {_KEY: "", _VALUE: ""}
        end = file.tell() + length
        while file.tell() < end:
            part, part_length = _field(file)
            if part_length > _MOST_BYTES:
                raise ValueError("a text is too long")
            texts[part] = file.read(part_length).decode()
        entries[texts[_KEY]] = texts[_VALUE]
    return entries


def _field(file: BinaryIO) -> tuple[int, int]:
    """A field's number, and the length of what follows; numbers are read over."""
    tag = _varint(file)
    number, kind = tag >> 3, tag & 7
    if kind == _VARINT:
        _varint(file)
        return number, 0
    lengths = {_FIXED_64: 8, _FIXED_32: 4}
    if kind == _BYTES:
        return number, _varint(file)
    if number and kind in lengths:
        return number, lengths[kind]
    raise ValueError(f"no field has the tag {tag}")


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
