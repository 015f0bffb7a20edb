"""``crossface train`` as a process: a signal between two steps costs no step."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs_torch


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_writes_a_checkpoint_of_the_last_step(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    from make_faceset import make_faceset

    from crossface.training.checkpoint import open_checkpoint

    faces = [make_faceset(tmp_path / name, 3, (200, 150, 120)) for name in "ab"]
    model = tmp_path / "model"
    start = [sys.executable, "-c", "from crossface.engine.cli import main; main()", "train", *faces]
    options = ["-o", model, "--minutes", "10", "--batch", "1", "--device", "cpu"]
    with subprocess.Popen([*start, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("step 1,"), first + process.stderr.read()
        process.send_signal(number)
        _, rest = process.communicate(timeout=120)
    assert process.returncode == code, rest
    assert "Traceback" not in rest
    said = [int(step) for step in re.findall(r"step (\d+)", first + rest)]
    with open_checkpoint(model) as checkpoint:
        assert checkpoint.progress.step == max(said) >= 1


def test_a_warning_has_a_line_of_its_own(tmp_path: Path) -> None:
    from make_faceset import make_faceset

    faces = [make_faceset(tmp_path / name, 3, (200, 150, 120)) for name in "ab"]
    start = [sys.executable, "-c", "from crossface.engine.cli import main; main()", "train", *faces]
    done = subprocess.run(
        [*start, "-o", tmp_path / "model", "--steps", "1", "--batch", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stderr.splitlines()
    assert first.startswith("crossface: warning: training on the CPU: ")
    assert second.startswith("step 1,")


def test_the_command_offers_every_preset() -> None:
    """The command line lists them itself, because loading them would load PyTorch."""
    from crossface.training.presets import PRESETS
    from crossface.training.train_commands import train_command

    option = next(option for option in train_command.params if option.name == "preset")
    assert set(option.type.to_info_dict()["choices"]) == set(PRESETS)
