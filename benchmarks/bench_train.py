"""How many faces a second does training take in, and what is the step's time spent on?

The real training, augmentation and optimiser included, on two facesets of drawn faces, which cost what others
cost; without the first steps, in which memory is laid out and kernels are chosen. Beside it, turn and turn
about in the same process, a bare step of the same layers: random faces, a plain L1, PyTorch's own fused Adam.
TFLOP/s count the products of forward and backward; MFU is their share of what a large matrix product reaches
in the same run.

    python benchmarks/bench_train.py [--device cuda] [--presets fast-128] [--batch N] [--json FILE]

Executed with ``--device cpu`` only: written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from crossface.engine.errors import CrossfaceError
from crossface.engine.memory import keep_large_blocks
from crossface.training.events import StepDone
from crossface.training.models import FaceNetwork, build
from crossface.training.precision import bfloat16_pays
from crossface.training.presets import PRESETS, Preset
from crossface.training.train import train

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from machine import write_result
from make_faceset import TINY, make_faceset

NETWORKS = {**PRESETS, TINY.name: TINY}
FACES = 64
MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
MATRIX_SECONDS = 0.5


def measure(
    network: str, place: torch.device, batch: int | None, seconds: float, warm_up: int, folder: Path
) -> Any:
    preset = NETWORKS[network]
    batch = batch or preset.batch
    run = train(
        folder / "a",
        folder / "b",
        folder / network,
        preset=preset,
        steps=1_000_000,
        batch=batch,
        preview_every_s=1e9,
        checkpoint_every_s=1e9,
        device=str(place),
    )
    bare = _bare_step(preset, batch, place)
    events: list[StepDone] = []
    step_s, bare_s, step_cpu_s, bare_cpu_s = [], [], [], []
    # Closing it saves the model, which is not timed.
    with closing(run):
        steps = (event for event in run if isinstance(event, StepDone))
        for _ in islice(steps, warm_up):
            bare()
        end_s = time.perf_counter() + seconds
        while not events or time.perf_counter() < end_s:
            wall_s, cpu_s = _timed(lambda: events.append(next(steps)), place)
            step_s.append(wall_s)
            step_cpu_s.append(cpu_s)
            wall_s, cpu_s = _timed(bare, place)
            bare_s.append(wall_s)
            bare_cpu_s.append(cpu_s)
    taken_s = sum(step_s)
    ceiling = matrix_tflops(place)
    tflops = flops_a_step(preset, batch) * len(events) / taken_s / 1e12

    def share(of: Callable[[StepDone], float]) -> float:
        return sum(of(event) * 2 * batch / event.samples_per_s for event in events) / taken_s

    return {
        "network": network,
        "batch": batch,
        "steps": len(events),
        "samples_per_s": 2 * batch * len(events) / taken_s,
        "data_share": share(lambda event: event.data_share),
        "augment_share": share(lambda event: event.augment_share),
        "cpu_s_a_step": statistics.median(step_cpu_s),
        "cpu_s_a_bare_step": statistics.median(bare_cpu_s),
        "over_bare_step": statistics.median(step_s) / statistics.median(bare_s),
        "tflops": tflops,
        "matrix_tflops": ceiling,
        "mfu": tflops / ceiling,
    }


class Both(nn.Module):
    """Draws N faces of A, then N of B as themselves: the layers of a step, and nothing else."""

    def __init__(self, network: FaceNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        map_a, map_b = self.network.expand_both(self.network.code(faces))
        return self.network.decoder("a")(map_a), self.network.decoder("b")(map_b)


def flops_a_step(preset: Preset, batch: int) -> int:
    """Additions and multiplications of forward and backward; they are counted without being done."""
    with torch.device("meta"):
        network = Both(build(preset))
        faces = torch.empty(2 * batch, 3, preset.size_px, preset.size_px)
    with FlopCounterMode(display=False) as counter:
        drawn_a, drawn_b = network(faces)
        torch.autograd.backward(drawn_a.sum() + drawn_b.sum())
    return counter.get_total_flops()


def matrix_tflops(place: torch.device) -> float:
    """What the device reaches in a square matrix product, in the numbers that training takes there."""
    side = MATRIX_SIDE[place.type]
    numbers = torch.bfloat16 if bfloat16_pays(place) else torch.float32
    matrix = torch.randn(side, side, device=place, dtype=numbers)
    product = torch.empty_like(matrix)
    best_s, end_s = float("inf"), time.perf_counter() + MATRIX_SECONDS
    while time.perf_counter() < end_s:
        best_s = min(best_s, _timed(lambda: torch.mm(matrix, matrix, out=product), place)[0])
    return 2 * side**3 / best_s / 1e12


def _bare_step(preset: Preset, batch: int, place: torch.device) -> Callable[[], None]:
    network: Any = Both(build(preset)).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), fused=True)
    faces = torch.rand(2 * batch, 3, preset.size_px, preset.size_px, device=place)
    faces = faces.contiguous(memory_format=torch.channels_last)

    in_bfloat16 = bfloat16_pays(place)

    def step() -> None:
        with torch.autocast(place.type, dtype=torch.bfloat16, enabled=in_bfloat16):
            drawn = torch.cat(network(faces))
            loss = (drawn[:, :3] - faces).abs().mean()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    return step


def _timed(call: Callable[[], object], place: torch.device) -> tuple[float, float]:
    """Seconds by the clock, and of the processor."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    call()
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--presets", default="original-64,fast-128", help=f"of {','.join(NETWORKS)}")
    parser.add_argument("--batch", type=int, help="faces of each person in a step; the preset's by default")
    parser.add_argument("--seconds", type=float, default=5, help="for each network")
    parser.add_argument("--warm-up", type=int, default=20, help="steps before")
    parser.add_argument(
        "--threads", type=int, help="of the processor; one shows what a step costs where others wait for it"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    # As the command does.
    keep_large_blocks()
    if options.threads:
        torch.set_num_threads(options.threads)
    results = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_faceset(folder / "a", FACES, (200, 150, 120))
            make_faceset(folder / "b", FACES, (120, 90, 70), seed=1)
            for network in options.presets.split(","):
                place = torch.device(options.device)
                row = measure(network, place, options.batch, options.seconds, options.warm_up, folder)
                results.append(row)
                print(
                    f"{network:12} batch 2 x {row['batch']:3}{row['samples_per_s']:9.1f} samples/s, "
                    f"waiting {row['data_share']:.2%}, augmenting {row['augment_share']:.1%}, "
                    f"{row['tflops']:.3f} TFLOP/s, MFU {row['mfu']:.0%}; CPU-s a step "
                    f"{row['cpu_s_a_step']:.2f}, bare {row['cpu_s_a_bare_step']:.2f}; "
                    f"{row['over_bare_step']:.2f} of the bare step's time",
                    flush=True,
                )
    except CrossfaceError as error:
        print(f"bench_train: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if options.json:
        write_result(
            options.json,
            "faces a second of training",
            ("torch",),
            {
                "device": options.device,
                "cuda": torch.version.cuda,
                "threads": torch.get_num_threads(),
                "runs": results,
            },
        )


if __name__ == "__main__":
    main()
