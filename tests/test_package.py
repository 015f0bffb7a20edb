"""What the package pulls in, and what it lets out."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

# Modules of the extras: a render node has none of them.
HEAVY = ("torch", "onnx", "onnxscript", "safetensors", "tensorboard", "crossface.training")


def loaded_by(code: str, *arguments: str, **environment: str) -> list[str]:
    """Those of `HEAVY` that a fresh interpreter has loaded after running ``code``."""
    script = (
        f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return list(eval(done.stderr.splitlines()[-1], {}))


def test_the_engine_needs_nothing_of_training() -> None:
    assert loaded_by("import crossface.engine, crossface.engine.cli") == []


def test_help_does_not_wait_for_pytorch() -> None:
    code = """
from crossface.engine.cli import main
try:
    main(["--help"])
except SystemExit as ended:
    assert not ended.code
"""
    assert "torch" not in loaded_by(code)


@pytest.mark.parametrize("command", ["extract", "train", "export", "convert"])
def test_help_of_a_command_does_not_either(command: str) -> None:
    code = f"""
from crossface.engine.cli import main
try:
    main(["{command}", "--help"])
except SystemExit as ended:
    assert not ended.code
"""
    assert "torch" not in loaded_by(code)


def test_commands_are_found_through_the_entry_points() -> None:
    names = {command.name for entry in entry_points(group="crossface.commands") for command in entry.load()}
    jobs = {"plan", "segment", "join", "check", "submit"}
    training = {"extract", "audit", "train", "pretrain", "export", "train-occlusion"}
    looking = {"analyze", "compare", "faces", "probe", "sheet", "verify"}
    assert names == {"convert", "weights"} | looking | training | jobs


def test_a_conversion_reports_to_nobody(clips: Path, swapper: Path, tmp_path: Path) -> None:
    """ONNX Runtime's telemetry leaves an identifier in these folders when it is on."""
    home, scratch = tmp_path / "home", tmp_path / "scratch"
    home.mkdir()
    scratch.mkdir()
    quiet = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    # A continuous integration server is spared by telemetry anyway, which would make this test blind.
    quiet = {name: value for name, value in quiet.items() if name not in ("CI", "GITHUB_ACTIONS")}
    folders = {"HOME": str(home), "TMPDIR": str(scratch), "XDG_CACHE_HOME": str(home / "cache")}
    code = """
import sys
from pathlib import Path
from crossface.engine.swap.model import Swapper
Swapper(Path(sys.argv[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(swapper)],
        env={**quiet, **folders},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("*")) == [] and list(scratch.iterdir()) == []


def test_the_public_names_are_there() -> None:
    import crossface.engine as engine

    assert all(hasattr(engine, name) for name in engine.__all__)
    for name in ("analyze", "convert", "sheet"):
        assert getattr(engine, name).__doc__
