"""How many steps does a base save? Held-out faces of two people whom it has not seen, with it and without.

Trains the same network on the same faces twice, with the same seed, and measures the faces that neither run
trains on every so many steps.

    python benchmarks/bench_base.py FACESET_A FACESET_B --base MODEL [--steps N] [--every N] [--json FILE]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from machine import cpu_model, write_result

from crossface.training.checkpoint import load_average
from crossface.training.events import Measured
from crossface.training.held_out import HeldOut
from crossface.training.model_card import ModelCard
from crossface.training.models import build
from crossface.training.train import train


def curve(options: argparse.Namespace, base: Path | None) -> list[HeldOut]:
    """Held-out DSSIM of a run, as it goes on."""
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        run = train(
            options.faceset_a,
            options.faceset_b,
            Path(folder) / "model",
            preset=ModelCard.read(options.base).preset,
            base=base,
            steps=options.steps,
            measure_every_steps=options.every,
            checkpoint_every_s=1e9,
            preview_every_s=1e9,
            device="cpu",
        )
        for event in run:
            if isinstance(event, Measured):
                measured.append(event.held_out)
                print(f"{'base' if base else 'none'}: {event.held_out}", flush=True)
    return measured


def steps_to(measured: list[HeldOut], dssim: float) -> int | None:
    """Where a curve first comes so low; None where it does not."""
    return next((each.step for each in measured if each.mean <= dssim), None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faceset_a", type=Path)
    parser.add_argument("faceset_b", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()

    card = ModelCard.read(options.base)
    without, with_base = curve(options, None), curve(options, options.base)
    saved = steps_to(with_base, without[-1].mean)
    print(f"{card.preset.name}, {cpu_model()}")
    for a, b in zip(without, with_base, strict=True):
        print(f"step {a.step}: DSSIM {a.mean:.4f} from scratch, {b.mean:.4f} from the base")
    print(f"what {options.steps} steps reach from scratch, the base reaches in {saved or 'more'}")
    if options.json:
        write_result(
            options.json,
            "held-out DSSIM by steps, from scratch and from a base that has not seen the two people",
            ("torch",),
            {
                "preset": card.preset.name,
                "base_steps": load_average(options.base, build(card.preset)).step,
                "base_faces": card.faces_a,
                "from_scratch": [[each.step, each.dssim_a, each.dssim_b] for each in without],
                "from_base": [[each.step, each.dssim_a, each.dssim_b] for each in with_base],
            },
        )


if __name__ == "__main__":
    main()
