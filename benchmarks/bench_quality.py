"""Does the swap look right? Steadiness, colour and sharpness of faces, beside the source's own, with targets.

Clips are converted without loss, with the defaults, or come with their results, and both are looked at by
networks that took no part (see `bench_expression`, which has more figures of the expression):

    identity            0 for an untouched clip, 1 the target's person; distance: above 0.6 it is another one,
                        and only then the targets mean something
    faces               of the source's plain faces, those that are no longer seen as plain faces
    jitter              how the landmarks shake, in % of the eye distance, and over the source's
    flicker             how the face's mean luma shakes, in codes of 8 bits, and over the source's
    sharpness           strength of edges inside the face over that around it, and this over the same of the
                        source: strong features count as sharp ones, whoever they belong to
    area                how much the changed part of the picture grows or shrinks from frame to frame, in %;
                        only without loss, as an encoder changes everything
    neck                how far the face's colour lies from the neck's (Delta E 1976), of source and result
    inner landmarks     distance in % of the eye distance, after a similarity transform

"around" is a ring that no mask reaches: hair, ears, neck and what is behind. Without loss its ratios are 1.
Formulas: `judges.steadiness`, `judges.sharpness`, `judges.measures`.

    python benchmarks/bench_quality.py [--pair MODEL.onnx CLIP TARGET] [--only-pairs] [--json FILE]
    python benchmarks/bench_quality.py --converted FILE CLIP

All pairs are shown: the demo's, the demo's clip beside itself, and what ``--pair`` names, as often as it is
given. The target shows the model's person; ``-`` is none. Clips may end in a range, as in
``clip.mp4@9.5-18.4``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from bench_expression import figures as expression
from judges import steadiness
from judges.command import DEMO, Figures, Shown, Watched, look_at
from judges.watch import Pair
from machine import write_result
from numpy.typing import NDArray

from crossface.engine.errors import CrossfaceError

_ALSO = ("face_share", "sharpness_ratio", "inner_error_pct", "identity_distance", "identity_change")
# Of a frame; more is an encoder's work.
_MOST_CHANGED = 0.9
_DEMO_CLIPS = ("single_face.mp4", "noface_face.mov", "face_noface.mov")


class Target(NamedTuple):
    """Between which a figure lies of a swap that looks right."""

    least: float
    most: float

    def met(self, value: float) -> bool:
        return self.least <= value <= self.most

    def __str__(self) -> str:
        ends = [f"{end:g}" for end in self]
        if self.most == np.inf:
            return f">= {ends[0]}"
        return f"<= {ends[1]}" if self.least == -np.inf else " to ".join(ends)


TARGETS: Mapping[str, Target] = {
    "identity_distance": Target(0.6, np.inf),
    "faces_dropped": Target(-np.inf, 0),
    "jitter_ratio": Target(-np.inf, 1.1),
    "flicker_ratio": Target(-np.inf, 1.15),
    "sharpness_inside_over_around": Target(0.7, 1.2),
    "area_change_pct": Target(-np.inf, 0.5),
}


def figures(pairs: Sequence[Pair], target: NDArray[np.float64] | None = None) -> Figures:
    """All figures of a clip; arguments and errors as of `bench_expression.figures`.

    Returns:
        By name; None where there is nothing to measure.
    """
    expressed = expression(pairs, target)
    both = [(pair.index, pair.source, pair.result) for pair in pairs if pair.source and pair.result]
    frames = np.array([index for index, _, _ in both])
    jitters, flickers, around, necks = [], [], [], []
    for seen in ([source for _, source, _ in both], [result for _, _, result in both]):
        colours = np.stack([each.colour for each in seen])
        jitters.append(steadiness.jitter_pct(np.stack([each.look.landmarks for each in seen]), frames))
        flickers.append(steadiness.flicker_codes(colours, frames))
        around.append(
            steadiness.flicker_codes(np.stack([each.colour_around for each in seen]), frames),
        )
        apart = steadiness.lab(colours) - steadiness.lab(np.stack([each.neck for each in seen]))
        necks.append(float(np.median(np.linalg.norm(apart, axis=1))))
    sharp_around = [
        result.edges_around / source.edges_around for _, source, result in both if source.edges_around > 0
    ]
    inside = [
        result.edges / source.edges * source.edges_around / result.edges_around
        for _, source, result in both
        if min(source.edges, source.edges_around, result.edges_around) > 0
    ]
    changed = [(pair.index, pair.changed) for pair in pairs if pair.source and pair.result]
    areas, where = np.array([area for _, area in changed]), np.array([index for index, _ in changed])
    measurable = bool((areas > 0).all() and areas.max() < _MOST_CHANGED)
    seen_once = sum(pair.source is not None for pair in pairs)
    return {
        "faces_dropped": seen_once - len(both),
        "jitter_pct": jitters[1],
        "jitter_ratio": _ratio(jitters),
        "flicker_codes": flickers[1],
        "flicker_ratio": _ratio(flickers),
        "flicker_ratio_around": _ratio(around),
        "neck_of_source": necks[0],
        "neck_of_result": necks[1],
        "area_change_pct": steadiness.area_change_pct(areas, where) if measurable else None,
        "sharpness_inside_over_around": float(np.median(inside)) if inside else None,
        "sharpness_ratio_around": float(np.median(sharp_around)) if sharp_around else None,
        **{name: expressed[name] for name in _ALSO},
    }


def told(found: Figures) -> list[str]:
    """Lines of a table: each figure, its target, and whether it is met."""
    apart = found["identity_distance"]
    swap = apart is not None and TARGETS["identity_distance"].met(apart)
    lines = []
    for name, value in found.items():
        shown = "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"
        line = f"  {name:30}{shown:>9}"
        target = TARGETS.get(name)
        if target is not None and value is not None:
            verdict = ("met" if target.met(value) else "MISSED") if swap else "no swap"
            line += f"   {target!s:12}{verdict}"
        lines.append(line)
    return lines


def _ratio(values: Sequence[float | None]) -> float | None:
    """Of the result's over the source's."""
    source, result = values
    return result / source if source and result is not None else None


def _shown(text: str) -> Shown:
    """A clip, or ``CLIP@RANGE``."""
    path, _, span = text.partition("@")
    return Shown(Path(path), span or None)


class _Asked(NamedTuple):
    """A clip, who draws or what came of it, and the model's person."""

    model: Path | None
    made: Path | None
    clip: Shown
    target: Shown | None


def _asked(options: argparse.Namespace) -> list[_Asked]:
    if options.converted:
        return [_Asked(None, options.converted, _shown(options.clip), None)]
    pairs: list[_Asked] = []
    if not options.only_pairs:
        (model, clip), *target = DEMO
        pairs.append(_Asked(None, clip, Shown(clip), Shown(*target)))
        pairs += [_Asked(model, None, Shown(clip.parent / name), Shown(*target)) for name in _DEMO_CLIPS]
    for model, clip, target in options.pair:
        pairs.append(_Asked(Path(model), None, _shown(clip), None if target == "-" else _shown(target)))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", nargs="?", help="of --converted")
    parser.add_argument(
        "--converted", type=Path, metavar="FILE", help="the result, where it is there already"
    )
    parser.add_argument("--pair", nargs=3, action="append", default=[], metavar=("MODEL", "CLIP", "TARGET"))
    parser.add_argument("--only-pairs", action="store_true", help="leave out the demo's")
    parser.add_argument("--i-have-the-rights", action="store_true", help="as of crossface convert")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    if bool(options.converted) != bool(options.clip):
        parser.error("give --converted FILE and its CLIP")
    results = []
    try:
        for model, made, clip, target in _asked(options):
            watched: Watched = look_at(
                clip,
                model=model,
                made=made,
                target=target,
                rights_stated=options.i_have_the_rights,
            )
            found = figures(watched.pairs, watched.target)
            print(f"{clip.path.name} {clip.span or ''} {(model or made).name}")
            print("\n".join(told(found)), flush=True)
            results.append({**watched.about, "figures": found})
    except CrossfaceError as error:
        print(f"{Path(sys.argv[0]).stem}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if options.json:
        targets = {name: str(target) for name, target in TARGETS.items()}
        write_result(
            options.json,
            "whether swapped faces are as steady, sharp and coloured as the source's",
            ("av", "onnxruntime"),
            {"targets": targets, "pairs": results},
        )


if __name__ == "__main__":
    main()
