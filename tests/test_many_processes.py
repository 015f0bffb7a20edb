"""One model, trained by two processes as ``torchrun`` starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_faceset import make_faceset
from safetensors import safe_open

from crossface.training.checkpoint import CHECKPOINT_NAME
from crossface.training.status import Status

pytestmark = pytest.mark.needs_torch

# The losses of all steps, as the first process tells them.
_TRAINER = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from make_faceset import TINY
from crossface.training.events import StepDone
from crossface.training.train import train
from crossface.training.world import rank_here
faces, model, batch = (Path(each) for each in sys.argv[2:4]), Path(sys.argv[4]), int(sys.argv[5])
options = dict(preset=TINY, steps=60, threads=1, device="cpu", learning_rate=4e-3, batch=batch)
losses = [each.loss_a + each.loss_b for each in train(*faces, model, **options) if isinstance(each, StepDone)]
Path(sys.argv[6] + str(rank_here())).write_text(json.dumps(losses))
"""


@pytest.fixture(scope="module")
def facesets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("facesets")
    skins = (200, 150, 120), (120, 90, 70)
    return [make_faceset(folder / str(n), 24, skin, seed=n) for n, skin in enumerate(skins)]


def _train(folder: Path, facesets: list[Path], batch: int, processes: int) -> list[list[float]]:
    """Losses of every process."""
    script = folder / "trainer.py"
    script.write_text(_TRAINER)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    tests, model, losses = (
        Path(__file__).parent,
        folder / f"model-{processes}",
        folder / f"losses-{processes}-",
    )
    command = [*start, str(script), *map(str, (tests, *facesets, model, batch, losses))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(Path(f"{losses}{rank}").read_text()) for rank in range(processes)]


def test_two_processes_learn_as_one_does_with_the_batch_of_both(facesets: list[Path], tmp_path: Path) -> None:
    (alone,) = _train(tmp_path, facesets, batch=4, processes=1)
    first, second = _train(tmp_path, facesets, batch=2, processes=2)
    assert first == second and len(first) == len(alone) == 60
    # The faces are the same, and moved otherwise: losses differ by noise.
    for begin, end in ((0, 10), (25, 35), (50, 60)):
        assert np.mean(first[begin:end]) == pytest.approx(np.mean(alone[begin:end]), rel=0.06)
    assert np.mean(first[-5:]) < 0.85 * np.mean(first[:5])

    model = tmp_path / "model-2"
    with safe_open(model / CHECKPOINT_NAME, framework="pt") as file:
        names = list(file.keys())
    assert any(name.startswith("network.encoder.") for name in names)
    assert Status.read(model).done.step == 60
