"""Hashes of files that are large, and asked for more than once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from crossface.engine.errors import InputMissingError
from crossface.engine.file_state import file_sha256, file_state, hash_ahead


def test_hashed_ahead_and_asked_for_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(range(256)) * 4096)
    state = file_state(path)
    hash_ahead([(path, state)])
    assert file_sha256(path, state) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_cannot_be_hashed_is_told_of_where_it_is_asked_for(tmp_path: Path) -> None:
    path, other = tmp_path / "gone.onnx", tmp_path / "here.onnx"
    other.write_bytes(b"here")
    hash_ahead([(path, None), (other, file_state(other))])
    assert file_sha256(other, file_state(other)) == hashlib.sha256(b"here").hexdigest()
    with pytest.raises(InputMissingError, match="gone"):
        file_sha256(path, None)
