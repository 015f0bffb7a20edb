"""Writes YAML that people can read: mappings, lists, texts and whole numbers, nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Node: TypeAlias = "str | int | Mapping[str, Node] | Sequence[Node]"

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*( [A-Za-z0-9_.-]+)*")
# Readers of YAML 1.1 take these for something other than text.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def yaml_text(document: Mapping[str, Node]) -> str:
    """Writes a document in block style; YAML 1.1 and 1.2 read the same from it.

    Args:
        document: keys are plain words; no mapping or list in it is empty.
    """
    return "".join(f"{line}\n" for line in _block(document))


def _block(node: Mapping[str, Node] | Sequence[Node]) -> Iterator[str]:
    entries = node.items() if isinstance(node, Mapping) else (("-", child) for child in node)
    for key, child in entries:
        if isinstance(child, str | int):
            yield f"{key} {_scalar(child)}" if key == "-" else f"{key}: {_scalar(child)}"
        elif key == "-":
            first, *rest = _block(child)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
        else:
            yield f"{key}:"
            yield from (f"  {line}" for line in _block(child))


def _scalar(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    number = ord(character)
    if number > 0xFFFF:
        return f"\\U{number:08X}"
    return f"\\u{number:04X}"
