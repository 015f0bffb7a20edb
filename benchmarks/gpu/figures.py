"""The table of a GPU check: every figure, its target, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from budget import Outcome

NOT_BUILT = "not built yet"
TRAINING_MFU = 0.3


@dataclass(frozen=True)
class Figure:
    """A row.

    Attributes:
        step: where it comes from.
        name: what was measured.
        value: with its unit; or why there is none.
        target: with its unit; empty for none.
        met: whether the target is; None where there is no target, or no figure to hold against it.
    """

    step: str
    name: str
    value: str
    target: str = ""
    met: bool | None = None


# What is to be measured and cannot be yet, with its target.
MISSING = [
    Figure("conversion", "1080p, 512 px face, frames a second", NOT_BUILT, "500 frames/s"),
    Figure("conversion", "1080p, time of the GPU a frame", NOT_BUILT, "1.5 ms"),
    Figure("conversion", "1080p, rate over that of the slowest stage alone", NOT_BUILT, "0.90"),
    Figure("conversion", "2160p, frames a second and by stage", NOT_BUILT),
    Figure("conversion", "2160p, rate over that of the slowest stage alone", NOT_BUILT, "0.90"),
]


def figures_of(outcomes: Sequence[Outcome]) -> list[Figure]:
    """All rows, also for what was not measured."""
    rows: list[Figure] = []
    for outcome in outcomes:
        read = _READERS.get(outcome.name)
        if outcome.is_done and outcome.record is not None and read is not None:
            rows += [read(outcome, run) for run in outcome.record["runs"]]
            rows += [
                Figure(outcome.name, str(name), f"not measured: {why}")
                for name, why in outcome.record.get("not_measured", {}).items()
            ]
        else:
            rows.append(Figure(outcome.name, "", _told(outcome), "", None if outcome.is_done else False))
    return rows + MISSING


def _told(outcome: Outcome) -> str:
    if outcome.is_done and outcome.name != "tests":
        return f"done in {outcome.seconds:.0f} s"
    return outcome.detail if outcome.is_done else f"{outcome.state}: {outcome.detail}"


def _kernel(outcome: Outcome, run: dict[str, Any]) -> Figure:
    assert outcome.record is not None
    target = outcome.record["target_share"] if run["kernel"] in ("crop", "blend") else None
    return Figure(
        outcome.name,
        f"{run['kernel']}, {run['frames']} {run['transfer']}, {run['faces']}",
        f"{run['gb_s']:.0f} GB/s, {run['share']:.0%} of a copy, {run['us_per_face']:.2f} us a face",
        "" if target is None else f"{target:.0%}",
        None if target is None else run["share"] >= target,
    )


def _network(outcome: Outcome, run: dict[str, Any]) -> Figure:
    graph = "graph" if run["graph"] else "no graph"
    return Figure(
        outcome.name,
        f"{run['network']} {run['precision']}, {run['runtime']}, batch {run['batch']}, {graph}",
        f"{run['faces_per_s']:.0f} faces/s, {run['tflops']:.1f} TFLOP/s, "
        f"{run['share']:.0%} of a matrix product's",
    )


def _film(outcome: Outcome, run: dict[str, Any]) -> Figure:
    return Figure(outcome.name, f"{run['what']}, 1080p", f"{run['frames_per_s']:.0f} frames/s")


def _training(outcome: Outcome, run: dict[str, Any]) -> Figure:
    # What a network of `df` is held to; the small ones are bound by their launches.
    target = TRAINING_MFU if run["network"].startswith("df-") else None
    return Figure(
        outcome.name,
        f"{run['network']}, batch 2 x {run['batch']}",
        f"{run['samples_per_s']:.0f} samples/s, {run['tflops']:.1f} TFLOP/s, {run['mfu']:.0%} of a matrix "
        f"product's, waiting for faces {run['data_share']:.1%}, augmenting {run['augment_share']:.0%}",
        "" if target is None else f"{target:.0%}",
        None if target is None else run["mfu"] >= target,
    )


_READERS: dict[str, Callable[[Outcome, dict[str, Any]], Figure]] = {
    "kernels": _kernel,
    "runner-onnxruntime": _network,
    "runner-tensorrt": _network,
    "decode": _film,
    "encode": _film,
    "train": _training,
}


def table(rows: Sequence[Figure]) -> str:
    """The rows as text."""
    met = {True: "yes", False: "NO", None: "-"}
    cells = [("step", "figure", "target", "met", "value")]
    cells += [(row.step, row.name or "-", row.target or "-", met[row.met], row.value) for row in rows]
    # The last may be long, where it tells why.
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]])
        for line in cells
    )
