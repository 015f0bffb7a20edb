"""Does the swap look right? Steadiness, colour and sharpness of the face, beside the source's own.

The clip is converted without loss, or comes with its result, and both are looked at by networks that took no
part (see `bench_expression`, which has the arguments and more figures of the expression):

    jitter              how the landmarks shake, in % of the eye distance, and over the source's
    flicker             how the face's mean luma shakes, in codes of 8 bits, and over the source's
    neck                how far the face's colour lies from the neck's (Delta E 1976), of source and result
    sharpness           strength of edges inside the face over the source's; around it nothing changes
    area                how much the changed part of the picture grows or shrinks from frame to frame, in %;
                        only without loss, as an encoder changes everything
    faces               share of the source's plain faces that are still seen as plain faces
    identity            0 for an untouched clip, 1 the target's person

Formulas: `judges.steadiness`, `judges.sharpness`, `judges.measures`.

    python benchmarks/bench_quality.py [MODEL.onnx CLIP] [--range 9.5-18.4] [--target CLIP] [--json FILE]
    python benchmarks/bench_quality.py --converted FILE CLIP
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bench_expression import figures as expression
from judges import steadiness
from judges.command import Figures, answer
from judges.watch import Pair
from numpy.typing import NDArray

_ALSO = ("face_share", "sharpness_ratio", "inner_error_pct", "identity_distance", "identity_change")
# Of a frame; more is an encoder's work.
_MOST_CHANGED = 0.9


def figures(pairs: Sequence[Pair], target: NDArray[np.float64] | None = None) -> Figures:
    """All figures of a clip; arguments and errors as of `bench_expression.figures`.

    Returns:
        By name; None where there is nothing to measure.
    """
    expressed = expression(pairs, target)
    both = [(pair.index, pair.source, pair.result) for pair in pairs if pair.source and pair.result]
    frames = np.array([index for index, _, _ in both])
    jitters, flickers, necks = [], [], []
    for seen in ([source for _, source, _ in both], [result for _, _, result in both]):
        colours = np.stack([each.colour for each in seen])
        jitters.append(steadiness.jitter_pct(np.stack([each.look.landmarks for each in seen]), frames))
        flickers.append(steadiness.flicker_codes(colours, frames))
        apart = steadiness.lab(colours) - steadiness.lab(np.stack([each.neck for each in seen]))
        necks.append(float(np.median(np.linalg.norm(apart, axis=1))))
    changed = [(pair.index, pair.changed) for pair in pairs if pair.source and pair.result]
    areas, where = np.array([area for _, area in changed]), np.array([index for index, _ in changed])
    measurable = bool((areas > 0).all() and areas.max() < _MOST_CHANGED)
    return {
        "jitter_pct": jitters[1],
        "jitter_ratio": _ratio(jitters),
        "flicker_codes": flickers[1],
        "flicker_ratio": _ratio(flickers),
        "neck_of_source": necks[0],
        "neck_of_result": necks[1],
        "area_change_pct": steadiness.area_change_pct(areas, where) if measurable else None,
        **{name: expressed[name] for name in _ALSO},
    }


def _ratio(values: Sequence[float | None]) -> float | None:
    """Of the result's over the source's."""
    source, result = values
    return result / source if source and result is not None else None


def main() -> None:
    answer("whether the swapped face is as steady, sharp and coloured as the source's", __doc__, figures)


if __name__ == "__main__":
    main()
