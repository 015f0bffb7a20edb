"""How many faces a second does training take in?

The real training, augmentation and optimiser included, on two facesets of drawn faces, which cost what others
cost; without the first steps, in which memory is laid out and kernels are chosen.

    python benchmarks/gpu/bench_train.py [--device cuda] [--presets fast-128] [--seconds N] [--json FILE]

Executed with ``--device cpu`` only: written without a GPU at hand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from crossface.engine.errors import CrossfaceError
from crossface.training.presets import PRESETS
from crossface.training.train import StepDone, train

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[2] / "tests"))
from machine import write_result
from make_faceset import TINY, make_faceset

NETWORKS = {**PRESETS, TINY.name: TINY}
FACES = 64


def measure(network: str, device: str, batch: int | None, seconds: float, warm_up: int, folder: Path) -> Any:
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
        device=device,
    )
    steps, data_s = 0, 0.0
    # Closing it saves the model, which is not timed.
    with closing(run) as events:
        for _ in islice(events, warm_up):
            pass
        begun_s = time.perf_counter()
        for event in events:
            assert isinstance(event, StepDone)
            steps += 1
            data_s += event.data_share * 2 * batch / event.samples_per_s
            taken_s = time.perf_counter() - begun_s
            if taken_s >= seconds:
                break
    return {
        "network": network,
        "batch": batch,
        "samples_per_s": 2 * batch * steps / taken_s,
        "data_share": data_s / taken_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument(
        "--presets", default="original-64,fast-128,df-256-d,cross-256", help=f"of {','.join(NETWORKS)}"
    )
    parser.add_argument("--batch", type=int, help="faces of each person in a step; the preset's by default")
    parser.add_argument("--seconds", type=float, default=5, help="for each network")
    parser.add_argument("--warm-up", type=int, default=20, help="steps before")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    results = []
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_faceset(folder / "a", FACES, (200, 150, 120))
            make_faceset(folder / "b", FACES, (120, 90, 70), seed=1)
            for network in options.presets.split(","):
                row = measure(
                    network, options.device, options.batch, options.seconds, options.warm_up, folder
                )
                results.append(row)
                print(
                    f"{network:12} batch 2 x {row['batch']:3}{row['samples_per_s']:9.1f} samples/s, "
                    f"{row['data_share']:.0%} of the time for the data",
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
                "runs": results,
            },
        )


if __name__ == "__main__":
    main()
