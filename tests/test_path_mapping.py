"""Paths of a plan on hosts that mount the disks elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crossface.engine.errors import BadInputError, InputMissingError
from crossface.engine.jobs.path_mapping import VARIABLE, PathMapping


def mapping(folder: Path, *rules: tuple[str, str, str]) -> PathMapping:
    path = folder / "rules.json"
    content = {
        "version": "pathmapping-1.0",
        "path_mapping_rules": [
            {"source_path_format": form, "source_path": source, "destination_path": destination}
            for form, source, destination in rules
        ],
    }
    path.write_text(json.dumps(content))
    return PathMapping.of_environment({VARIABLE: str(path)})


def test_the_longest_rule_counts_and_only_whole_names(tmp_path: Path) -> None:
    rules = mapping(tmp_path, ("POSIX", "/studio", "/a"), ("POSIX", "/studio/show7/", "/b"))
    assert rules.here("/studio/clip.mov") == Path("/a/clip.mov")
    assert rules.here("/studio/show7/x/clip.mov") == Path("/b/x/clip.mov")
    assert rules.here("/studio/show7") == Path("/b")
    assert rules.here("/studio/show77/clip.mov") == Path("/a/show77/clip.mov")
    assert rules.here("/studios/clip.mov") == Path("/studios/clip.mov")


def test_a_plan_made_on_windows(tmp_path: Path) -> None:
    rules = mapping(tmp_path, ("WINDOWS", r"P:\Show", "/mnt/p"))
    assert rules.here(r"p:\show\Shots\clip.mov") == Path("/mnt/p/Shots/clip.mov")


def test_without_rules_paths_stay(tmp_path: Path) -> None:
    empty = tmp_path / "rules.json"
    empty.write_text("{}")
    for environ in ({}, {VARIABLE: ""}, {VARIABLE: str(empty)}):
        assert PathMapping.of_environment(environ).here("/studio/clip.mov") == Path("/studio/clip.mov")


def test_rules_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=VARIABLE):
        PathMapping.of_environment({VARIABLE: str(tmp_path / "none")})
    bad = tmp_path / "rules.json"
    rule = (
        b'{"path_mapping_rules":'
        b'[{"source_path_format": "POSIX", "source_path": "/a", "destination_path": "/b"}]}'
    )
    for content in (
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"path_mapping_rules": [{}]}',
        b'{"path_mapping_rules": {"a": 1}}',
        b'{"path_mapping_rules": [{"source_path_format": "POSIX", "source_path": "/"}]}',
        rule.replace(b"POSIX", b"VMS"),
        rule.replace(b'"/a"', b"1"),
    ):
        bad.write_bytes(content)
        with pytest.raises(BadInputError, match="no path mapping rules"):
            PathMapping.of_environment({VARIABLE: str(bad)})
