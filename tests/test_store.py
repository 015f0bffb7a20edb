"""A faceset's bytes: decoded once, told when stale, never half written, and not in memory."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from make_faceset import TINY, make_faceset

from crossface.engine.errors import InputMissingError, OutputError
from crossface.engine.part_file import PartFile
from crossface.engine.review.png import read_png, write_png
from crossface.training.faceset import Faceset
from crossface.training.loader import Loader
from crossface.training.store import FaceStore, load_store
from crossface.training.world import World

CPU = torch.device("cpu")
ALONE = World(0, 1, CPU)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_faceset(tmp_path / "set", 5, (200, 150, 120))


def _load(folder: Path) -> FaceStore:
    return load_store(Faceset.load(folder), TINY, CPU)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if "store" in path.name)


def test_pictures_are_decoded_once(folder: Path) -> None:
    first = _load(folder)
    (file,) = _files(folder)
    made = file.stat()
    again = _load(folder)
    assert torch.equal(first.pixels, again.pixels)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)


def test_the_faces_lie_in_the_file_and_not_in_memory(folder: Path) -> None:
    store = _load(folder)
    (file,) = _files(folder)
    address = store.pixels.data_ptr()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [(each[0].split("-"), each[1], each[-1]) for each in maps]
    (found,) = [
        (flags, name) for (low, high), flags, name in spans if int(low, 16) <= address < int(high, 16)
    ]
    assert found == ("r--s", str(file))


def test_a_retouched_picture_makes_it_stale(folder: Path) -> None:
    before = _load(folder).pixels.clone()
    picture = folder / "faces" / "00002.png"
    write_png(picture, np.full_like(read_png(picture), 9))
    after = _load(folder).pixels
    assert after[2, :3].unique().tolist() == [9]
    kept = [0, 1, 3, 4]
    assert torch.equal(after[kept], before[kept])
    assert len(_files(folder)) == 1


def test_a_rewritten_index_leaves_no_store_behind(folder: Path) -> None:
    _load(folder)
    (old,) = _files(folder)
    index = folder / "faceset.jsonl"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:-1]))
    later_ns = old.stat().st_mtime_ns + 1_000_000
    os.utime(index, ns=(later_ns, later_ns))
    assert len(_load(folder)) == 4
    assert _files(folder) != [old] and len(_files(folder)) == 1


@pytest.mark.parametrize("damage", ["short", "long", "header", "empty"])
def test_a_damaged_store_is_made_again(folder: Path, damage: str) -> None:
    expected = _load(folder).pixels.clone()
    (file,) = _files(folder)
    content = file.read_bytes()
    changed = {
        "short": content[:-1],
        "long": content + b"\0",
        "header": b"\0" + content[1:],
        "empty": b"",
    }
    file.write_bytes(changed[damage])
    assert torch.equal(_load(folder).pixels, expected)
    assert file.read_bytes() == content


def test_without_room_beside_the_pictures_it_has_no_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = _load(folder).pixels.clone()
    (file,) = _files(folder)
    file.unlink()
    # A folder in the way is what also the superuser cannot write over.
    file.mkdir()
    assert torch.equal(_load(folder).pixels, expected)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match=r"set: its decoded faces need .*TMPDIR"):
        _load(folder)


def test_a_full_disk_leaves_nothing_behind(folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OutputError, match="make room"):
            _load(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not _files(folder)
    assert len(_load(folder)) == 5


def test_two_runs_at_once_wait_for_each_other(folder: Path) -> None:
    expected = _load(folder).pixels.clone()
    (file,) = _files(folder)
    file.unlink()
    part = PartFile(file, overwrite=True)
    loaded: list[torch.Tensor] = []
    second = threading.Thread(target=lambda: loaded.append(_load(folder).pixels))
    second.start()
    second.join(0.5)
    assert second.is_alive() and not loaded
    part.discard()
    second.join(30)
    assert torch.equal(loaded[0], expected)


def test_a_picture_that_went_missing_is_named(folder: Path) -> None:
    faceset = Faceset.load(folder)
    (folder / "faces" / "00003.png").unlink()
    with pytest.raises(InputMissingError, match=r"00003\.png"):
        load_store(faceset, TINY, CPU)


# Ahead of time.


def _numbered(faces: int, epoch: list[int] | None = None) -> FaceStore:
    pixels = torch.arange(faces, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 5, 2, 2)
    return FaceStore(pixels, 1.0, None if epoch is None else torch.tensor(epoch))


def test_the_loader_gives_what_the_stores_would_in_any_order() -> None:
    stores = _numbered(7), _numbered(5, [0, 1, 1, 2, 3, 4])
    with Loader(stores, 3, 11, (0, 1), ALONE) as loader:
        for step in (0, 1, 2, 3, 9, 10, 4, 4, 5):
            for faces, store, stream in zip(loader.take(step), stores, (0, 1), strict=True):
                assert torch.equal(faces.pixels, store.faces(store.chosen(step, 3, 11, stream)).pixels)


def test_what_fails_ahead_of_time_fails_in_its_step() -> None:
    with (
        Loader((_numbered(7), _numbered(0)), 3, 11, (0, 1), ALONE) as loader,
        pytest.raises(ZeroDivisionError),
    ):
        loader.take(0)


def test_an_epoch_shows_faces_as_often_as_it_holds_them() -> None:
    store = _numbered(4, [0, 1, 1, 2, 3, 3, 3])
    for epoch in range(3):
        shown = [int(face) for step in range(7) for face in store.chosen(7 * epoch + step, 1, 5, 0)]
        assert sorted(shown) == [0, 1, 1, 2, 3, 3, 3]


def test_processes_share_out_what_one_would_draw() -> None:
    stores = _numbered(7), _numbered(5)
    with (
        Loader(stores, 4, 11, (0, 1), ALONE) as whole,
        Loader(stores, 2, 11, (0, 1), World(0, 2, CPU)) as first,
        Loader(stores, 2, 11, (0, 1), World(1, 2, CPU)) as second,
    ):
        for step in range(3):
            halves = zip(first.take(step), second.take(step), strict=True)
            for all_faces, parts in zip(whole.take(step), halves, strict=True):
                assert torch.equal(all_faces.pixels, torch.cat([part.pixels for part in parts]))
