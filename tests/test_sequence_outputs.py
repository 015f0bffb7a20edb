"""Files of a sequence that is being written: which may be, and what stays when something stops it."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from make_clips import make_clip
from make_pictures import pictures

from crossface.engine.errors import OutputError, OutputExistsError, UsageError
from crossface.engine.sequence.reader import SequenceReader
from crossface.engine.sequence.writer import SequenceWriter
from crossface.engine.video.reader import Reader

pytestmark = pytest.mark.needs_vfx


def test_outputs_are_refused(tmp_path: Path) -> None:
    pattern = pictures(tmp_path / "in", ".png", range(1, 4), "uint8")
    info = SequenceReader(pattern).info
    for name in (pattern, tmp_path / "in" / "s.%04d.png", tmp_path / "in" / "." / "s.@@@@.png"):
        with pytest.raises(UsageError, match="source itself"):
            SequenceWriter(name, info, overwrite=True)
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "s.0001.png").unlink()
    info = SequenceReader(f"{pattern} 1-3", on_missing="hold").info
    for name in (tmp_path / "alias" / "s.####.png", tmp_path / "in" / "s.0003.png"):
        with pytest.raises(UsageError, match="source itself"):
            SequenceWriter(name, info, overwrite=True)
    with pytest.raises(UsageError, match="no image sequence"):
        SequenceWriter(tmp_path / "film.mov", info)
    with pytest.raises(OutputError, match="absent"):
        SequenceWriter(tmp_path / "absent" / "o.####.png", info)
    with pytest.raises(UsageError, match="keep their numbers"):
        SequenceWriter(tmp_path / "o.1-3.png", info)
    (tmp_path / "o.0002.png").touch()
    with pytest.raises(OutputExistsError, match=r"o\.0002\.png"):
        SequenceWriter(tmp_path / "o.####.png", info)
    SequenceWriter(tmp_path / "o.####.png", info, numbers=[1, 3])
    with (
        pytest.raises(UsageError, match="give a pattern"),
        SequenceWriter(tmp_path / "one.png", info) as writer,
    ):
        for frame in SequenceReader(pattern, frames="2-3"):
            writer.write(frame)
    assert not (tmp_path / "one.png").exists()


def test_abandoned_sequence_leaves_nothing(tmp_path: Path) -> None:
    pattern = pictures(tmp_path / "in", ".png", range(1, 4), "uint8")
    (tmp_path / "out").mkdir()
    reader = SequenceReader(pattern)
    with (
        pytest.raises(ZeroDivisionError),
        SequenceWriter(tmp_path / "out" / "o.####.png", reader.info) as writer,
    ):
        for frame in reader:
            writer.write(frame)
        assert sorted(os.listdir(tmp_path / "out")) == ["o.0001.png", "o.0002.png", "o.0003.png"]
        # Somebody else's by now.
        (tmp_path / "out" / "o.0002.png").unlink()
        (tmp_path / "out" / "o.0002.png").write_text("mine")
        raise ZeroDivisionError
    assert os.listdir(tmp_path / "out") == ["o.0002.png"]


def test_signal_while_a_picture_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is removed, though the signal came before anything after the renaming."""
    reader = SequenceReader(pictures(tmp_path / "in", ".png", range(1, 4), "uint8"))
    (tmp_path / "out").mkdir()
    rename = os.replace

    def interrupted(old: Path, new: Path) -> None:
        rename(old, new)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        SequenceWriter(tmp_path / "out" / "o.####.png", reader.info) as writer,
    ):
        writer.write(next(iter(reader)))
    assert os.listdir(tmp_path / "out") == []


def test_full_disk_names_the_picture(tmp_path: Path) -> None:
    reader = Reader(make_clip(tmp_path / "film.mkv"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with (
            pytest.raises(OutputError, match=r"/o\.0000\.exr: cannot be written"),
            SequenceWriter(tmp_path / "o.####.exr", reader.info) as writer,
        ):
            writer.write(next(iter(reader)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == ["film.mkv"]
