"""The check of a GPU box, without one: budgets, exit codes, the table, and what it does where no GPU is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import check
import pytest
from budget import Outcome, Step, run
from figures import figures_of, table

ROOT = Path(__file__).parents[1]
CARD = {"name": "Card X1 (80 GB)"}


def step(name: str, code: str, budget_s: float = 20, **more: Any) -> Step:
    return Step(name, budget_s, [[sys.executable, "-c", code]], **more)


def test_a_step_tells_how_it_ended(tmp_path: Path) -> None:
    done = run(step("good", "print('first'); print('last')"), tmp_path, 60)
    assert (done.state, done.detail) == ("done", "last")
    failed = run(step("bad", "print('the reason'); raise SystemExit(3)"), tmp_path, 60)
    assert failed.state == "failed" and failed.detail == "exit code 3: the reason"
    assert (tmp_path / "bad.log").read_text() == "the reason\n"
    absent = run(Step("absent", 5, [["/no/such/program"]]), tmp_path, 60)
    assert absent.state == "failed" and "No such file" in absent.detail


def test_commands_stop_at_the_first_that_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('one'); raise SystemExit(1)"]
    assert run(Step("two", 20, [command, command]), tmp_path, 60).state == "failed"
    assert (tmp_path / "two.log").read_text() == "one\n"


def test_a_step_over_its_budget_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = (
        "import subprocess, sys, time, pathlib;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"pathlib.Path({str(child)!r}).write_text(str(child.pid)); time.sleep(60)"
    )
    begun_s = time.monotonic()
    stopped = run(step("slow", code, budget_s=1.5), tmp_path, 60)
    assert stopped.state == "stopped" and stopped.detail == "after 2 s"
    assert time.monotonic() - begun_s < 10
    # Killed is not yet gone.
    while is_running(int(child.read_text())) and time.monotonic() - begun_s < 20:
        time.sleep(0.05)
    assert not is_running(int(child.read_text()))


def is_running(pid: int) -> bool:
    """A process that has ended may be waited for by nobody yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_one_that_does_not_want_to_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("budget.PATIENCE_S", 0.2)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    begun_s = time.monotonic()
    assert run(step("deaf", code, budget_s=1), tmp_path, 60).state == "stopped"
    assert time.monotonic() - begun_s < 10


def test_the_others_go_on_until_the_time_of_all_is_over(tmp_path: Path) -> None:
    plan = [
        step("slow", "import time; time.sleep(60)", budget_s=1),
        step("after", "print('done')"),
        step("dependent", "print('done')", needs=("slow",)),
        step("long", "import time; time.sleep(60)", budget_s=60),
        step("late", "print('done')"),
    ]
    outcomes = {outcome.name: outcome for outcome in check.run_all(plan, tmp_path, total_s=4)}
    states = {name: outcome.state for name, outcome in outcomes.items()}
    assert states == {
        "slow": "stopped",
        "after": "done",
        "dependent": "not run",
        "long": "stopped",
        "late": "not run",
    }
    assert outcomes["dependent"].detail == "it needs the step slow"


def test_what_measures_nothing_fails_and_an_old_record_does_not_count(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text('{"runs": [1]}')
    silent = run(step("silent", "print('no card')", record=record), tmp_path, 60)
    assert silent.state == "failed" and silent.detail == "it measured nothing: no card"
    code = f"import pathlib; pathlib.Path({str(record)!r}).write_text('{{}}')"
    assert run(step("empty", code, record=record), tmp_path, 60).state == "failed"
    code = f"import pathlib; pathlib.Path({str(record)!r}).write_text('{{\"runs\": [2]}}')"
    assert run(step("good", code, record=record), tmp_path, 60).record == {"runs": [2]}


def kernel_run(kernel: str, share: float) -> dict[str, Any]:
    names = {"kernel": kernel, "frames": "nv12", "transfer": "SDR", "faces": "float16"}
    return {**names, "gb_s": 2000.0 * share, "share": share, "us_per_face": 1.25}


OUTCOMES = [
    Outcome("build", "done", "Successfully installed", 81),
    Outcome("tensorrt", "failed", "exit code 1: no such package", 5),
    Outcome("tests", "done", "12 passed, 90 deselected in 4.0s", 6),
    Outcome(
        "kernels",
        "done",
        record={
            "target_share": 0.7,
            "runs": [kernel_run("crop", 0.71), kernel_run("blend", 0.69), kernel_run("stats", 0.1)],
        },
    ),
    Outcome("runner-tensorrt", "stopped", "after 70 s"),
    Outcome(
        "encode",
        "done",
        record={
            "not_measured": {"av1_nvenc": "does not open"},
            "runs": [{"what": "h264_nvenc", "frames_per_s": 612.4}],
        },
    ),
    Outcome(
        "train",
        "done",
        record={
            "runs": [
                {
                    "network": network,
                    "batch": 8,
                    "samples_per_s": 1500.0,
                    "data_share": 0.001,
                    "augment_share": 0.125,
                    "tflops": 90.0,
                    "mfu": 0.25,
                }
                for network in ("fast-128", "df-256")
            ]
        },
    ),
    Outcome("decode", "not run", "no time was left for it"),
    Outcome(
        "conversion-1080p",
        "done",
        record={
            "runs": [
                {
                    "size": "1080p",
                    "frames_per_s": 512.4,
                    "decode_frames_per_s": 3000.0,
                    "first pass_frames_per_s": 1200.0,
                    "gpu_ms": 1.75,
                    "efficiency": 0.91,
                }
            ]
        },
    ),
]


def test_the_table_holds_targets_against_figures() -> None:
    rows = {(row.step, row.name): row for row in figures_of(OUTCOMES)}
    crop, blend, stats = (rows["kernels", f"{k}, nv12 SDR, float16"] for k in ("crop", "blend", "stats"))
    assert (crop.target, crop.met) == ("70%", True) and crop.value.startswith("1420 GB/s, 71% of a copy")
    assert (blend.target, blend.met) == ("70%", False)
    assert (stats.target, stats.met) == ("", None)
    assert rows["encode", "h264_nvenc, 1080p"].value == "612 frames/s"
    small, large = (rows["train", f"{network}, batch 2 x 8"] for network in ("fast-128", "df-256"))
    assert small.value.startswith("1500 samples/s, 90.0 TFLOP/s, 25% of a matrix product's, waiting")
    assert (small.target, small.met) == ("", None) and (large.target, large.met) == ("30%", False)
    whole = rows["conversion-1080p", "1080p, frames a second"]
    assert (whole.value, whole.target, whole.met) == ("512 frames/s", "500 frames/s", True)
    assert rows["conversion-1080p", "1080p, frames a second by stage alone"].value == (
        "decode 3000, first pass 1200"
    )
    on_gpu = rows["conversion-1080p", "1080p, the GPU's time for a swap"]
    assert (on_gpu.value, on_gpu.target, on_gpu.met) == ("1.75 ms", "1.5 ms", False)
    assert rows["conversion-1080p", "1080p, rate over the slowest stage's"].met
    assert rows["tests", ""].value == "12 passed, 90 deselected in 4.0s"


def test_nothing_that_is_missing_is_silent() -> None:
    rows = figures_of(OUTCOMES)
    assert {outcome.name for outcome in OUTCOMES} <= {row.step for row in rows}
    told = {row.step: (row.value, row.met) for row in rows if row.name == ""}
    assert told["tensorrt"] == ("failed: exit code 1: no such package", False)
    assert told["runner-tensorrt"] == ("stopped: after 70 s", False)
    assert told["decode"] == ("not run: no time was left for it", False)
    assert ("av1_nvenc", "not measured: does not open") in [(row.name, row.value) for row in rows]
    text = table(rows).splitlines()
    assert len(text) == 1 + len(rows) and text[0].split() == ["step", "figure", "target", "met", "value"]
    targets = [re.split(r"\s{2,}", line)[2:4] for line in text if line.startswith("kernels")]
    assert targets == [["70%", "yes"], ["70%", "NO"], ["-", "-"]]


def test_the_plan_keeps_to_eight_minutes_and_forgets_no_benchmark(tmp_path: Path) -> None:
    plan = check.steps(tmp_path, Path("/box/bin/python"), None, offline=False)
    assert sum(step.budget_s for step in plan) <= check.TOTAL_S == 480
    scripts = {*(ROOT / "benchmarks" / "gpu").glob("bench_*.py"), ROOT / "benchmarks" / "bench_train.py"}
    assert {Path(command[1]) for step in plan for command in step.commands if step.record} == scripts
    assert {step.needs for step in plan[1:]} == {("build",)}


@pytest.fixture
def testing(tmp_path: Path) -> Step:
    plan = check.steps(tmp_path, Path(sys.executable), None, offline=False)
    return next(step for step in plan if step.name == "tests")


def test_the_gpus_tests_are_all_asked_for(testing: Step, request: pytest.FixtureRequest) -> None:
    """Among the tests of this run; to collect all of them again takes long."""
    (command,) = testing.commands
    names = command[command.index("-m", 3) + 1].split(" or ")
    assert any(name.endswith("gpu") for name in names)
    items = request.session.items
    marked = {str(each.path) for each in items if any(each.get_closest_marker(name) for name in names)}
    asked = {word for word in command if word.endswith(".py")}
    assert marked <= asked
    if not request.config.getoption("keyword"):
        assert asked & {str(each.path) for each in items} <= marked


def test_none_of_them_may_be_skipped(testing: Step) -> None:
    environ = {**os.environ, **testing.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*testing.commands[0], "--tb=no"], env=environ, capture_output=True, text=True)
    summary = done.stdout.splitlines()[-1]
    assert done.returncode == 1 and re.search(r"\d+ errors?", summary) and "skipped" not in summary


def test_offline_takes_packages_from_the_folder_alone(tmp_path: Path) -> None:
    options, environ = check.pip_options(tmp_path, tmp_path, offline=True)
    assert options == ["--find-links", str(tmp_path), "--no-index"] and environ == {"PIP_CONSTRAINT": ""}
    options, environ = check.pip_options(tmp_path, None, offline=False)
    pins = Path(environ["PIP_CONSTRAINT"]).read_text()
    assert options == [] and "numpy==" in pins and "torch==" not in pins


def test_the_environment_sees_what_the_box_has(tmp_path: Path) -> None:
    python = check.make_environment(tmp_path / "env")
    code = "import sys, numpy; print(sys.prefix); print(numpy.__file__)"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    import numpy

    assert said.splitlines() == [str(tmp_path / "env"), numpy.__file__]


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if a card were here; gives where the record goes."""
    monkeypatch.setattr(check, "ask_driver", lambda: {"detail": "driver 1", "devices": [CARD]})
    monkeypatch.setattr(check, "FOLDER", tmp_path / "check")
    monkeypatch.setattr(sys, "argv", ["check.py", "--json", str(tmp_path / "record.json")])
    return tmp_path / "record.json"


@pytest.mark.parametrize(("code", "wanted"), [(0, 0), (1, 1)])
def test_the_exit_code_says_whether_all_was_done(
    box: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int, wanted: int
) -> None:
    plan = [step("build", "print('built')"), step("tests", f"print('some tests'); raise SystemExit({code})")]
    monkeypatch.setattr(check, "steps", lambda *_: plan)
    assert check.main() == wanted
    record = json.loads(box.read_text())
    assert record["gpus"] == [CARD["name"]] and record["driver"] == "driver 1"
    assert [each["state"] for each in record["steps"]] == ["done", "failed" if code else "done"]
    assert record["versions"]["numpy"] and record["date"] and record["cores"]
    shown = capsys.readouterr().out
    assert "built" in shown


def test_without_a_gpu_it_is_one_line_and_69() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu/check.py"],
        cwd=ROOT,
        # Also on a machine that has one.
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 69 and done.stdout == ""
    assert re.fullmatch(r"gpu-check: no GPU to check: no .+\n", done.stderr)


@pytest.mark.parametrize("name", ["decode", "encode"])
def test_decoders_and_encoders_are_measured_on_the_cpu_too(tmp_path: Path, name: str) -> None:
    record = tmp_path / "record.json"
    short = {"decode": ["--frames", "8", "--films", "1,2"], "encode": ["--seconds", "0.2"]}[name]
    script = ROOT / "benchmarks" / "gpu" / f"bench_{name}.py"
    command = [sys.executable, str(script), "--device", "cpu", *short, "--json", str(record)]
    subprocess.run(command, check=True, capture_output=True)
    runs = json.loads(record.read_text())["runs"]
    assert len(runs) == {"decode": 4, "encode": 2}[name]
    assert all(run["frames_per_s"] > 0 for run in runs)


@pytest.mark.needs_torch
def test_training_is_measured_on_the_cpu_too(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    script = ROOT / "benchmarks" / "bench_train.py"
    short = ["--device", "cpu", "--presets", "tiny-32", "--seconds", "0.3", "--warm-up", "2"]
    subprocess.run(
        [sys.executable, str(script), *short, "--json", str(record)], check=True, capture_output=True
    )
    (figures,) = json.loads(record.read_text())["runs"]
    assert figures["batch"] == 2 and figures["samples_per_s"] > 0
    assert 0 <= figures["data_share"] < 1 and 0 < figures["augment_share"] < 1 and 0 < figures["mfu"] < 1
