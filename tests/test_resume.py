"""Conversions that are killed, stopped, starved of disk and run side by side end in the same film."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from split_clip import split_clip
from unsigned import UNSIGNED_OPTIONS

from crossface.engine.cli import main

COMMAND = [sys.executable, "-c", "from crossface.engine.cli import main; main()"]
SEGMENTS = 6
PLANNED = ["--segment-seconds", "0.2", "--preset", "ultrafast", "--encoder-threads", "1"]
OPTIONS = [*PLANNED, *UNSIGNED_OPTIONS]
# What a job looks like when it is at a stage; none of it lasts long.
STAGES: dict[str, Callable[[Path], bool]] = {
    "analysis": lambda out: any(job(out).glob(".seen-*.part")),
    "segment": lambda out: any(job(out).glob(".part-*.mp4.part")),
    "join": lambda out: (
        out.with_name(f".{out.name}.part").exists() and len(list(job(out).glob("part-*.json"))) == SEGMENTS
    ),
    "rename": lambda out: out.exists() and not (job(out) / "done.json").exists(),
}


def job(out: Path) -> Path:
    return out.with_name(f"{out.name}.job")


def start(clip: Path, model: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "convert", str(clip), str(model), "-o", str(out), *OPTIONS, *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, such as these tests may be, are born deaf to SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(clip: Path, model: Path, out: Path, *options: str) -> str:
    """Run to the end; gives stderr."""
    with start(clip, model, out, *options) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


def children(process: subprocess.Popen[str]) -> list[int]:
    found = []
    for task in Path(f"/proc/{process.pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


@pytest.fixture(scope="module")
def clip(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six segments of a talking head, with sound."""
    path = tmp_path_factory.mktemp("clip") / "split.mp4"
    return split_clip(clips / "single_face.mp4", path, every=6, frames=36)


@pytest.fixture(scope="module")
def undisturbed(clip: Path, swapper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film that was made in one run."""
    out = tmp_path_factory.mktemp("whole") / "out.mp4"
    finish(clip, swapper, out)
    plan = json.loads((job(out) / "plan.json").read_text())
    assert len(plan["segments"]) == SEGMENTS
    return out


@pytest.fixture(scope="module")
def whole(undisturbed: Path) -> bytes:
    """That film's bytes."""
    return undisturbed.read_bytes()


def at(stage: str, out: Path, process: subprocess.Popen[str], patience_s: float = 60) -> bool:
    """Wait until a job is at a stage; False where it has ended before."""
    deadline_s = time.monotonic() + patience_s
    while process.poll() is None and time.monotonic() < deadline_s:
        if STAGES[stage](out):
            return True
        time.sleep(0.001)
    return False


def test_twenty_kills_change_nothing(clip: Path, swapper: Path, whole: bytes, tmp_path: Path) -> None:
    """Of the supervisor and of its workers, at each stage by name and at random moments.

    They come in a job's own order: one that is past a stage would have to begin anew.
    """
    rng = random.Random(4)
    out = tmp_path / "out.mp4"
    kills = runs = 0
    for plan in ("analysis", "any", "segment", "any", "worker", *["any"] * 3, "join", "rename") * 2:
        hits = 0
        while not hits:
            # A stage may be over before it is noticed; where the job is through then, another one begins.
            runs += 1
            assert runs < 100, (plan, kills)
            finished_parts = len(list(job(out).glob("part-*.json")))
            workers = "2" if plan == "worker" else str(rng.choice([1, 2]))
            with start(clip, swapper, out, "--workers", workers) as process:
                hits = kill(plan, out, process, rng)
            kills += hits
            parts = len(list(job(out).glob("part-*.json")))
            assert parts >= finished_parts or (job(out) / "done.json").exists()
            if (job(out) / "done.json").exists():
                assert out.read_bytes() == whole
                finish_and_remove(out)
    assert kills >= 20
    finish(clip, swapper, out, "--workers", "2")
    assert out.read_bytes() == whole
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("part-*"))


def kill(plan: str, out: Path, process: subprocess.Popen[str], rng: random.Random) -> int:
    """Kills a job at a stage, or after one of its workers, or at any moment; how many kills hit something."""
    hits = 0
    if plan in STAGES:
        if not at(plan, out, process):
            return 0
        time.sleep(rng.random() * 0.003)
    elif plan == "worker":
        while process.poll() is None and not children(process):
            time.sleep(0.01)
        time.sleep(rng.random())
        for victim in children(process)[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                hits += 1
        time.sleep(rng.random())
    else:
        time.sleep(0.3 + 1.5 * rng.random())
    orphans = children(process)
    if process.poll() is None:
        process.kill()
        hits += 1
    deadline_s = time.monotonic() + 10
    while any(Path(f"/proc/{orphan}/stat").exists() for orphan in orphans) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not any(Path(f"/proc/{orphan}").exists() for orphan in orphans), "workers outlive their parent"
    return hits


def finish_and_remove(out: Path) -> None:
    out.unlink()
    for path in job(out).iterdir():
        path.unlink()
    job(out).rmdir()


@pytest.mark.parametrize("workers", ["1", "2", "3"])
def test_any_number_of_workers_gives_the_same_film(
    clip: Path, swapper: Path, undisturbed: Path, tmp_path: Path, workers: str
) -> None:
    out = tmp_path / "out.mp4"
    job(out).mkdir()
    (job(out) / "shot.faces").write_text("{")  # of whatever was here before
    finish(clip, swapper, out, "--workers", workers)
    assert out.read_bytes() == undisturbed.read_bytes()
    # One process writes them while it converts, several in the end.
    ours, others = (job(each) / "shot.faces" for each in (out, undisturbed))
    assert ours.read_bytes() == others.read_bytes()


def test_segments_by_different_processes_in_any_order_give_the_same_film(
    clip: Path, swapper: Path, whole: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        return int(ended.value.code or 0)

    assert run("plan", str(clip), str(swapper), "-o", str(out), *OPTIONS) == 0
    plan = capsys.readouterr().out.strip()
    assert plan == str(job(out) / "plan.json")
    assert run("segment", plan, "--seg", "2", "--stage", "convert") == 75, "its neighbours are not analysed"
    joined = ("join", plan, *UNSIGNED_OPTIONS)
    assert run(*joined) == 66, "nothing is converted"
    for number in (5, 0, 3, 2, 4, 1):
        assert run("segment", plan, "--seg", str(number), "--stage", "analyze") == 0
    # 3 and 1 come before their predecessors, and must measure the colours before them anew.
    for number in ("3", "5", "1", "0,2", "4"):
        assert run("segment", plan, "--seg", number, "--stage", "convert") == 0
        assert run("segment", plan, "--seg", number) == 0, "done already"
    assert run("check", plan) == 0 and "6 converted" in capsys.readouterr().out
    part = job(out) / "part-0002.mp4"
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    assert run(*joined) == 65 and str(part) in capsys.readouterr().err and not out.exists()
    part.write_bytes(content)
    out.write_text("precious")
    for _ in range(2):
        assert run(*joined) == 73 and out.read_text() == "precious", "not ours, however often we try"
    out.unlink()
    assert run(*joined) == 0 and out.read_bytes() == whole
    assert run(*joined) == 0 and "already done" in capsys.readouterr().err


def test_a_second_process_finds_the_job_busy(clip: Path, swapper: Path, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with start(clip, swapper, out) as first:
        assert at("analysis", out, first)
        # It must not be through before the second one has begun.
        first.send_signal(signal.SIGSTOP)
        with start(clip, swapper, out) as second:
            _, errors = second.communicate(timeout=60)
        first.send_signal(signal.SIGCONT)
        assert second.returncode == 75 and "another process" in errors
        first.communicate(timeout=120)
    assert first.returncode == 0 and out.read_bytes() == whole


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_stops_the_job_and_it_goes_on_later(
    clip: Path, swapper: Path, whole: bytes, tmp_path: Path, number: int, code: int, workers: str
) -> None:
    out = tmp_path / "out.mp4"
    # On a crowded machine a job may be through before we notice that it has begun: then another one begins.
    for _ in range(20):
        with start(clip, swapper, out, "--workers", workers) as process:
            at("segment", out, process)
            # Somewhere in the work, not in the very moment in which the file is made.
            time.sleep(0.03)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        if process.returncode != 0:
            break
        finish_and_remove(out)
    assert process.returncode == code and "Traceback" not in errors, errors
    assert not out.exists() and not list(tmp_path.rglob("*.part"))
    finish(clip, swapper, out)
    assert out.read_bytes() == whole and not list(tmp_path.rglob("*.part"))


def test_a_full_disk_stops_the_job_and_it_goes_on_later(
    clip: Path, swapper: Path, whole: bytes, tmp_path: Path
) -> None:
    """Files that may not grow beyond a size fail as on a full disk, at another moment for each size."""
    out = tmp_path / "out.mp4"
    codes = []
    for limit_bytes in (300, 3_000, 9_000, 20_000, 60_000, len(whole) - 100):

        def limit(limit_bytes: int = limit_bytes) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))

        command = [*COMMAND, "convert", str(clip), str(swapper), "-o", str(out), *OPTIONS]
        done = subprocess.run(
            command, capture_output=True, text=True, preexec_fn=limit, timeout=120, check=False
        )
        codes.append(done.returncode)
        assert done.returncode == 74 and "Traceback" not in done.stderr, (limit_bytes, done.stderr)
        assert not out.exists() and not list(tmp_path.rglob("*.part"))
    finish(clip, swapper, out)
    assert out.read_bytes() == whole


def test_a_finished_job_says_so_and_a_changed_one_is_refused_by_name(
    clip: Path, swapper: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    own = tmp_path / "own.mp4"
    own.write_bytes(clip.read_bytes())
    finish(own, swapper, out)
    before = out.stat()
    assert "already done" in finish(own, swapper, out)
    assert out.stat().st_mtime_ns == before.st_mtime_ns and out.stat().st_ino == before.st_ino

    def refused(code: int, word: str, *options: str) -> None:
        with start(own, swapper, out, *options) as process:
            _, errors = process.communicate(timeout=60)
        assert process.returncode == code and word in errors, errors

    refused(2, "colour from reinhard to mkl", "--colour", "mkl")
    refused(2, "detect_every from 5 to 7", "--detect-every", "7")
    refused(2, "batch", "--batch", "3")
    # The same name, another clip.
    split_clip(clip, own, every=24)
    refused(65, "source")
    finish(own, swapper, out, "--overwrite")
    out.write_bytes(out.read_bytes() + b"0")
    refused(73, "was changed since")


def test_several_clips_in_one_command(clip: Path, swapper: Path, whole: bytes, tmp_path: Path) -> None:
    twin = tmp_path / "twin.mp4"
    twin.write_bytes(clip.read_bytes())
    out = tmp_path / "out"
    command = [*COMMAND, "convert", str(clip), str(twin), str(swapper), "-o", str(out), *OPTIONS]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2 and "no folder" in refused.stderr
    out.mkdir()
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert (out / clip.name).read_bytes() == (out / "twin.mp4").read_bytes() == whole


def test_people_of_a_faces_file_get_models_of_their_own(
    clip: Path, swapper: Path, whole: bytes, tmp_path: Path
) -> None:
    """Named or not, the only face of the clip is drawn by the same network: the same pictures."""
    faces = tmp_path / "shot.faces"
    analyse = [*COMMAND, "analyze", str(clip), "-o", str(faces)]
    subprocess.run(analyse, capture_output=True, timeout=120, check=True)
    lines = faces.read_text().splitlines()
    tracks = json.loads(lines[-1])
    tracks["tracks"][0].update(person="anna", swap=False)
    faces.write_text("\n".join([*lines[:-1], json.dumps(tracks)]) + "\n")

    def swap(name: str, *swaps: str) -> subprocess.CompletedProcess[str]:
        command = [
            *COMMAND,
            "convert",
            str(clip),
            "-o",
            str(tmp_path / name),
            "--faces",
            str(faces),
            *OPTIONS,
        ]
        for each in swaps:
            command += ["--swap", each]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert swap("anna.mp4", f"anna={swapper}").returncode == 0
    assert swap("track.mp4", f"0={swapper}").returncode == 0
    assert (tmp_path / "anna.mp4").read_bytes() == (tmp_path / "track.mp4").read_bytes()
    other = swap("other.mp4", f"ben={swapper}")
    assert other.returncode == 0 and "no face" in other.stderr
    assert swap("twice.mp4", f"anna={swapper}", f"anna={swapper}").returncode == 2
