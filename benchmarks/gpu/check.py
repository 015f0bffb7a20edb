"""Builds Crossface on a machine with a GPU, runs the GPU's tests and benchmarks, and prints one table.

For a bare box: Python with torch and pip, nvcc, CMake. Each step has a budget of time, eight minutes in all;
one that is over it is stopped and told, and the others go on. The package is built into an environment of its
own, build/gpu-check, that sees the box's packages; logs lie there too. The figures are also written to
benchmarks/results/ as JSON. Only the standard library is used here.

    make gpu-check [WHEELS=FOLDER] [OFFLINE=1]
    python benchmarks/gpu/check.py [--wheels FOLDER] [--offline] [--json FILE]

Ends with 0 if every step was done and every test passed, 1 if not, 69 where there is no GPU. A target that
is not met is told in the table alone. Executed without a GPU only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from budget import Outcome, Step, run
from figures import Figure, figures_of, table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "gpu-check"
TOTAL_S = 480.0
NO_GPU, FAILED = 69, 1

# Of the tests that are run, see tests/conftest.py; here none of them may be skipped, whatever else it needs.
NEEDS = ("gpu", "nvcc", "onnx_cuda", "tensorrt")
ELSE_NEEDED = ("pycuda", "torch")


def ask_driver() -> dict[str, Any]:
    """What the driver tells, in a process of its own; see engine/probe/trial.py."""
    trial = ROOT / "engine" / "probe" / "trial.py"
    order = {"trial": "driver", "device": None, "path": sys.path, "fatbin": ""}
    try:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", str(trial), json.dumps(order)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ},
            timeout=60,
        )
        found: dict[str, Any] = json.loads(answer.stdout)
    except subprocess.TimeoutExpired:
        return {"works": False, "detail": "the driver does not answer within 60 s"}
    except ValueError:
        return {"works": False, "detail": "the driver cannot be asked: it crashes"}
    return found


def cuda_folder() -> Path | None:
    """The toolkit's, also where a wrapper of nvcc lies before it on the PATH."""
    named = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    for folder in (Path(named), Path("/usr/local/cuda")):
        if (folder / "bin" / "nvcc").is_file():
            return folder
    found = shutil.which("nvcc")
    return Path(found).resolve().parents[1] if found else None


def make_environment(folder: Path) -> Path:
    """An environment that sees this Python's packages, torch and pip among them; gives its Python."""
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    own = next((folder / "lib").glob("python3*/site-packages"))
    seen = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own / "box.pth").write_text("".join(f"{path}\n" for path in seen))
    return folder / "bin" / "python"


def pip_options(folder: Path, wheels: Path | None, offline: bool) -> tuple[list[str], dict[str, str]]:
    """Options of pip install, and variables for it.

    The pins hold but for torch, which is the box's. Offline, what the folder of wheels holds counts.
    """
    options = ["--find-links", str(wheels.resolve())] if wheels else []
    if offline:
        return [*options, "--no-index"], {"PIP_CONSTRAINT": ""}
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{pin}\n" for pin in pins if not pin.startswith("torch==")))
    return options, {"PIP_CONSTRAINT": str(constraints)}


def gpu_tests() -> list[str]:
    """Files with tests that need one of `NEEDS`: other files may need packages that are not here."""
    marked = re.compile(rf"needs_({'|'.join(NEEDS)})\b|on_each_device")
    return [
        str(path) for path in sorted((ROOT / "tests").glob("test_*.py")) if marked.search(path.read_text())
    ]


def steps(folder: Path, python: Path, wheels: Path | None, offline: bool) -> list[Step]:
    """All that is done, in order."""
    options, environ = pip_options(folder, wheels, offline)
    install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", *options]
    # Without a torch on the box, what needs it fails and says so.
    extra = "[train]" if importlib.util.find_spec("torch") else ""
    builders = ["scikit-build-core", "nanobind", "setuptools"]
    builders += [name for name in ("cmake", "ninja") if not shutil.which(name)]
    # What is built finds the tools of the environment, and the toolkit itself and no wrapper of its nvcc.
    cuda, path = cuda_folder(), [str(python.parent)]
    if cuda:
        path.append(str(cuda / "bin"))
        environ["CUDA_HOME"] = str(cuda)
    environ["PATH"] = os.pathsep.join([*path, os.environ.get("PATH", os.defpath)])
    # Device 0 is the same one to all of them.
    environ["CUDA_DEVICE_ORDER"] = os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    required = {f"REQUIRE_{need.upper()}": "1" for need in (*NEEDS, *ELSE_NEEDED)}
    marked = " or ".join(f"needs_{need}" for need in NEEDS)

    def bench(name: str, budget_s: float, *arguments: str) -> Step:
        folder_of = ROOT / "benchmarks" if name == "train" else ROOT / "benchmarks" / "gpu"
        script = folder_of / f"bench_{name.split('-')[0]}.py"
        record = folder / f"{name}.json"
        command = [str(python), str(script), *arguments, "--json", str(record)]
        return Step(name, budget_s, [command], environ, record, needs=("build",))

    return [
        Step(
            "build",
            120,
            [
                [*install, *builders],
                [*install, "onnx", "pytest", "hypothesis", "scipy"],
                [*install, "--no-build-isolation", f"{ROOT}{extra}"],
            ],
            environ,
        ),
        # Apart, for each may be what is missing on this box.
        Step("pycuda", 45, [[*install, "pycuda>=2024.1"]], environ, needs=("build",)),
        # It takes the place of the one for CPUs, file by file.
        Step("onnxruntime-gpu", 20, [[*install, "--no-deps", "onnxruntime-gpu"]], environ, needs=("build",)),
        Step("tensorrt", 25, [[*install, "tensorrt>=10.16,<12"]], environ, needs=("build",)),
        Step(
            "tests",
            60,
            [[str(python), "-m", "pytest", "-rf", "--tb=short", "-m", marked, *gpu_tests()]],
            {**environ, **required},
            needs=("build",),
        ),
        bench("kernels", 28),
        # Apart, for TensorRT builds its engines the first time, which takes long.
        bench("runner-onnxruntime", 20, "--runtimes", "onnxruntime", "--presets", "fast-128"),
        bench("runner-tensorrt", 55, "--runtimes", "tensorrt", "--presets", "fast-128"),
        bench("decode", 10),
        bench("encode", 12),
        bench("train", 15, "--presets", "fast-128,df-256", "--seconds", "4"),
        # The first one builds the engines of the second, too.
        bench("conversion-1080p", 40, "--size", "1080p", "--frames", "300"),
        bench("conversion-2160p", 30, "--size", "2160p", "--frames", "60"),
    ]


def run_all(plan: Sequence[Step], folder: Path, total_s: float = TOTAL_S) -> list[Outcome]:
    """Runs one step after the other, and says what comes of each."""
    end_s = time.monotonic() + total_s
    outcomes: dict[str, Outcome] = {}
    for step in plan:
        lacking = [name for name in step.needs if not outcomes[name].is_done]
        if lacking:
            outcome = Outcome(step.name, "not run", f"it needs the step {lacking[0]}")
        else:
            outcome = run(step, folder, end_s - time.monotonic())
        outcomes[step.name] = outcome
        print(f"{step.name}: {outcome.state}, {outcome.seconds:.0f} s: {outcome.detail}", flush=True)
    return list(outcomes.values())


def machine(driver: dict[str, Any], python: Path) -> dict[str, Any]:
    """Where and when: processor, GPUs, driver, and the versions of all that is installed."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    nvcc = cuda_folder()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu[1] if cpu else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "gpus": [device["name"] for device in driver["devices"]],
        "driver": driver["detail"],
        "nvcc": _said(f"{nvcc}/bin/nvcc", "--version").splitlines()[-1:] if nvcc else None,
        "python": platform.python_version(),
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "HEAD").strip() or None,
        "versions": {
            each["name"]: each["version"]
            for each in json.loads(_said(str(python), "-m", "pip", "list", "--format", "json") or "[]")
        },
    }


def _said(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def write(path: Path, where: dict[str, Any], outcomes: Sequence[Outcome], rows: Sequence[Figure]) -> None:
    """The record, whole or not at all."""
    record = {
        "question": "what Crossface reaches on this GPU, against its targets",
        **where,
        "figures": [asdict(row) for row in rows],
        "steps": [asdict(outcome) for outcome in outcomes],
    }
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(record, indent=2) + "\n")
    part.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="look for packages here first")
    parser.add_argument("--offline", action="store_true", help="and nowhere else")
    parser.add_argument("--json", type=Path, metavar="FILE", help="instead of one in benchmarks/results/")
    options = parser.parse_args()
    if options.wheels and not options.wheels.is_dir():
        parser.error(f"--wheels {options.wheels}: no such folder")
    driver = ask_driver()
    if not driver.get("devices"):
        print(f"gpu-check: no GPU to check: {driver['detail']}", file=sys.stderr)
        return NO_GPU
    card = driver["devices"][0]["name"]
    print(f"{card}, {driver['detail']}; logs are in {FOLDER}", flush=True)
    begun_s = time.monotonic()
    python = make_environment(FOLDER)
    plan = steps(FOLDER, python, options.wheels, options.offline)
    outcomes = run_all(plan, FOLDER, TOTAL_S - (time.monotonic() - begun_s))
    rows = figures_of(outcomes)
    print(f"\n{table(rows)}\n")
    name = re.sub(r"[^a-z0-9]+", "-", card.lower()).strip("-")
    path = options.json or ROOT / "benchmarks" / "results" / f"{datetime.now(UTC):%Y-%m-%d}_gpu_{name}.json"
    write(path, machine(driver, python), outcomes, rows)
    print(f"{time.monotonic() - begun_s:.0f} s; written to {path}")
    return 0 if all(outcome.is_done for outcome in outcomes) else FAILED


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
