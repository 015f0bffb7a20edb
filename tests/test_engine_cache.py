"""Engines are built once, read only when whole and for the very key, and pinned by their hash."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path

import pytest

from crossface.engine.errors import BadInputError, ConfigurationError
from crossface.engine.runtime import engine_cache
from crossface.engine.runtime.engine_cache import Engine, EngineCache, EngineKey, default_folder

KEY = EngineKey(
    onnx_sha256="1" * 64,
    runtime="TensorRT 11.4.0.106",
    gpu="NVIDIA H100",
    compute_capability="9.0",
    precision="float16",
    shapes="face float16[16,3,256,256]",
    builder="1",
)
CONTENT = b"an engine\n" * 1000


def build() -> bytes:
    return CONTENT


def nothing_to_build() -> bytes:
    pytest.fail("built again")


def quiet(line: str) -> None:
    pytest.fail(f"told: {line}")


def test_what_was_built_is_there_the_next_time(tmp_path: Path) -> None:
    built = EngineCache(tmp_path / "a" / "b", tell=quiet).get(KEY, build)
    cache = EngineCache(tmp_path / "a" / "b", tell=quiet)
    assert built == Engine(CONTENT, hashlib.sha256(CONTENT).hexdigest())
    assert cache.get(KEY, nothing_to_build) == built
    assert list(cache.folder.iterdir()) == [cache.path(KEY)]


def test_every_part_of_a_key_is_another_engine(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, tell=quiet)
    cache.get(KEY, build)
    others = [replace(KEY, **{field.name: getattr(KEY, field.name) + "0"}) for field in fields(KEY)]
    for other in others:
        assert cache.get(other, lambda: b"other").content == b"other"
    assert len(list(tmp_path.iterdir())) == len(fields(KEY)) + 1
    assert cache.get(KEY, nothing_to_build).content == CONTENT
    # Words may move from one part to the next and still make another engine.
    shifted = replace(KEY, gpu=KEY.gpu + "9", compute_capability=".0")
    assert shifted.file_name not in {KEY.file_name, *(other.file_name for other in others)}


def test_an_engine_under_the_name_of_another_is_built_again(tmp_path: Path) -> None:
    told: list[str] = []
    cache, other = EngineCache(tmp_path, tell=told.append), replace(KEY, gpu="another")
    cache.get(other, lambda: b"other")
    cache.path(other).rename(cache.path(KEY))
    assert cache.get(KEY, build).content == CONTENT
    assert len(told) == 1 and "built for something else" in told[0] and str(cache.path(KEY)) in told[0]


def _cut(content: bytes) -> bytes:
    return content[:-1]


def _one_bit(content: bytes) -> bytes:
    return content[:-500] + bytes([content[-500] ^ 4]) + content[-499:]


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _one_bit,
        lambda content: content + b"x",
        lambda content: b"",
        lambda content: b"\x00" * 100_000,
        lambda content: b"[" * 100_000,
        lambda content: b"null\n" + content,
        lambda content: b'{"for": 1}\n' + content,
        lambda content: content.replace(b'"crossface_engine": 1', b'"crossface_engine": 2'),
    ],
)
def test_a_damaged_or_foreign_file_is_built_again_and_told(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    told: list[str] = []
    cache = EngineCache(tmp_path, tell=told.append)
    cache.get(KEY, build)
    path = cache.path(KEY)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(KEY, build).content == CONTENT
    assert len(told) == 1 and told[0].startswith(f"{path}: ") and "built again" in told[0]
    assert cache.get(KEY, nothing_to_build).content == CONTENT


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> bytes:
        raise BadInputError("no such operator")

    cache = EngineCache(tmp_path, tell=quiet)
    with pytest.raises(BadInputError, match="no such operator"):
        cache.get(KEY, fails)
    assert list(tmp_path.iterdir()) == []
    assert cache.get(KEY, build).content == CONTENT


def test_a_pinned_engine_is_that_one_or_none(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, tell=quiet)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    with pytest.raises(ConfigurationError, match=f"is not the engine {sha256}.*No such file"):
        cache.get(KEY, nothing_to_build, pinned=sha256)
    built = cache.get(KEY, build)
    assert cache.get(KEY, nothing_to_build, pinned=sha256) == built
    other = "e" * 64
    with pytest.raises(ConfigurationError, match=f"is the engine {sha256}, the plan has {other}"):
        cache.get(KEY, nothing_to_build, pinned=other)
    path = cache.path(KEY)
    path.write_bytes(_one_bit(path.read_bytes()))
    with pytest.raises(ConfigurationError, match="damaged"):
        cache.get(KEY, nothing_to_build, pinned=sha256)


def test_where_engines_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CROSSFACE_ENGINE_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for cache_home, base in (("", tmp_path / ".cache"), ("rel", tmp_path / ".cache"), ("/x", Path("/x"))):
        monkeypatch.setenv("XDG_CACHE_HOME", cache_home)
        assert default_folder() == base / "crossface" / "engines"
    monkeypatch.setenv("CROSSFACE_ENGINE_CACHE", str(tmp_path / "shared"))
    assert EngineCache(tell=quiet).folder == tmp_path / "shared"


def test_the_default_folder_is_the_users_own_and_one_that_is_named_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("CROSSFACE_ENGINE_CACHE", raising=False)
    umask = os.umask(0o002)
    try:
        EngineCache(tell=quiet).get(KEY, build)
        EngineCache(tmp_path / "given", tell=quiet).get(KEY, build)
        monkeypatch.setenv("CROSSFACE_ENGINE_CACHE", str(tmp_path / "named"))
        EngineCache(tell=quiet).get(KEY, build)
    finally:
        os.umask(umask)
    for folder, mode in (("crossface/engines", 0o700), ("given", 0o775), ("named", 0o775)):
        assert (tmp_path / folder).stat().st_mode & 0o777 == mode


def test_measurements_are_kept_by_runtime_and_card(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, tell=quiet)
    assert cache.timings(KEY) == b""
    cache.keep_timings(KEY, b"first")
    cache.keep_timings(KEY, b"second")
    assert cache.timings(replace(KEY, onnx_sha256="2", shapes="x", precision="float32")) == b"second"
    for name in ("runtime", "gpu", "compute_capability"):
        assert cache.timings(replace(KEY, **{name: "another"})) == b""
    (path,) = tmp_path.iterdir()
    path.write_bytes(_cut(path.read_bytes()))
    assert cache.timings(KEY) == b""


_PROCESS = """
import os, resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_engine_cache import CONTENT, KEY
from crossface.engine.runtime.engine_cache import EngineCache

folder, work_s, most_bytes, user = Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])

def build():
    print("building", flush=True)
    time.sleep(work_s)
    return CONTENT

if most_bytes:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
if user:
    os.seteuid(user)
told = lambda line: print("told", line, flush=True)
engine = EngineCache(folder, tell=told).get(KEY, build)
print("engine", engine.content == CONTENT, flush=True)
"""


def _process(folder: Path, *, work_s: float = 0, most_bytes: int = 0, user: int = 0) -> subprocess.Popen[str]:
    arguments = [str(Path(__file__).parent), str(folder), str(work_s), str(most_bytes), str(user)]
    return subprocess.Popen([sys.executable, "-c", _PROCESS, *arguments], stdout=subprocess.PIPE, text=True)


def _lines(process: subprocess.Popen[str]) -> list[str]:
    lines = process.communicate(timeout=60)[0].splitlines()
    assert process.returncode == 0
    return lines


def test_processes_that_want_one_engine_build_it_once(tmp_path: Path) -> None:
    said = [_lines(process) for process in [_process(tmp_path, work_s=1.5) for _ in range(3)]]
    assert sum("building" in lines for lines in said) == 1
    assert all(lines[-1] == "engine True" for lines in said)
    for lines in said:
        assert "building" in lines or any("another process builds it: waiting" in line for line in lines)
    assert len(list(tmp_path.iterdir())) == 1


def test_one_that_waits_goes_on_where_the_other_was_killed(tmp_path: Path) -> None:
    killed = _process(tmp_path, work_s=600)
    assert killed.stdout is not None and killed.stdout.readline() == "building\n"
    waiting = _process(tmp_path)
    assert waiting.stdout is not None and "waiting" in waiting.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert _lines(waiting) == ["building", "engine True"]
    assert [path.suffix for path in tmp_path.iterdir()] == [".engine"]


def test_a_killed_build_leaves_no_engine(tmp_path: Path) -> None:
    killed = _process(tmp_path, work_s=600)
    assert killed.stdout is not None and killed.stdout.readline() == "building\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    cache = EngineCache(tmp_path, tell=quiet)
    assert not cache.path(KEY).exists()
    assert cache.get(KEY, build).content == CONTENT
    assert list(tmp_path.iterdir()) == [cache.path(KEY)]


@pytest.mark.parametrize("most_bytes", [1, 100, len(CONTENT)])
def test_on_a_full_disk_the_engine_is_used_and_not_kept(tmp_path: Path, most_bytes: int) -> None:
    building, told, engine = _lines(_process(tmp_path, most_bytes=most_bytes))
    assert (building, engine) == ("building", "engine True")
    assert "cannot be written (File too large)" in told and "built anew the next time" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_cannot_be_written_is_only_read(there: bool) -> None:
    # pytest's folders are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if there:
            EngineCache(folder, tell=quiet).get(KEY, build)
        folder.chmod(0o555)
        # The system lets its administrator write everywhere, so another user tries.
        lines = _lines(_process(folder, user=0 if os.geteuid() else 65534))
        kept = [path.name for path in folder.iterdir()]
        folder.chmod(0o755)
    if there:
        assert lines == ["engine True"]
    else:
        told, building, engine = lines
        assert "Permission denied" in told and "built anew" in told
        assert (building, engine, kept) == ("building", "engine True", [])


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    told: list[str] = []
    engine = EngineCache(tmp_path / "file" / "engines", tell=told.append).get(KEY, build)
    assert engine.content == CONTENT
    assert all(str(tmp_path / "file") in line for line in told) and "not kept" in told[-1]


@pytest.mark.parametrize("reads_that_fail", [1, 2])
def test_an_engine_that_cannot_be_read_for_now_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads_that_fail: int
) -> None:
    """Plans that run have it pinned. The second read is the one under the claim."""
    told: list[str] = []
    cache = EngineCache(tmp_path, tell=told.append)
    pinned = cache.get(KEY, build)
    errors = [FileNotFoundError(errno.ENOENT, "not here"), OSError(errno.ESTALE, "Stale file handle")]
    failing, read = errors[-reads_that_fail:], engine_cache._read

    def flaky(path: Path, wanted: Mapping[str, str]) -> Engine:
        if failing:
            raise failing.pop(0)
        return read(path, wanted)

    monkeypatch.setattr(engine_cache, "_read", flaky)
    assert cache.get(KEY, lambda: b"another").content == b"another"
    assert told == [f"{cache.path(KEY)}: cannot be read (Stale file handle): one is built that is not kept"]
    assert cache.get(KEY, nothing_to_build, pinned=pinned.sha256) == pinned
    assert list(tmp_path.iterdir()) == [cache.path(KEY)]


def test_a_client_of_nfs_looks_again_before_it_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EngineCache(tmp_path, tell=quiet)
    built = cache.get(KEY, build)
    read, listdir, looked = engine_cache._read, os.listdir, []

    def cached(path: Path, wanted: Mapping[str, str]) -> Engine:
        if not looked:
            raise FileNotFoundError(errno.ENOENT, "not here")
        return read(path, wanted)

    def look(folder: Path) -> list[str]:
        looked.append(folder)
        return listdir(folder)

    monkeypatch.setattr(engine_cache, "_read", cached)
    monkeypatch.setattr(os, "listdir", look)
    assert cache.get(KEY, nothing_to_build) == built


def test_an_engine_that_was_refused_is_replaced_unless_another_has_been_already(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, tell=quiet)
    first = cache.get(KEY, build)

    def fails() -> bytes:
        raise BadInputError("no better")

    with pytest.raises(BadInputError):
        cache.get(KEY, fails, refused=first.sha256)
    assert cache.get(KEY, nothing_to_build) == first
    second = cache.get(KEY, lambda: b"second", refused=first.sha256)
    assert second.content == b"second"
    assert cache.get(KEY, nothing_to_build, refused=first.sha256) == second


def test_reading_an_engine_does_not_wait_for_who_builds_another(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, tell=quiet)
    cache.get(replace(KEY, gpu="another"), build)
    busy = _process(tmp_path, work_s=600)
    assert busy.stdout is not None and busy.stdout.readline() == "building\n"
    begun_s = time.monotonic()
    cache.get(replace(KEY, gpu="another"), nothing_to_build)
    cache.get(replace(KEY, gpu="a third"), build)
    assert time.monotonic() - begun_s < 5
    busy.kill()
    busy.communicate()
