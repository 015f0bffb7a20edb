"""Does the new face do what the old one did? By landmarks that took no part in training or alignment.

The clip is converted without loss, or comes with its result. The face in each frame of both is looked at by
networks of other makers than the pipeline's (see `judges`), without any smoothing, and compared:

    mouth, eyes, gaze   correlation of how far they are open, or where they look, between source and result;
                        "-" where the source hardly moves, as a correlation would be one of noise
    mouth error         how much more or less the result's lips are open, in % of the eye distance
    blinks              of the source's, how many the result has too
    inner landmarks     distance in % of the eye distance, after a similarity transform
    pose                angle in degrees between the two heads, of which 2 to 5 may be the people's shape; the
                        moving one knows no shape, but says nothing where it is not well below the spread
    sharpness           strength of edges inside the face over the source's, and of the finest detail, in
                        which the source's noise counts too
    identity            0 the source's person, 1 the target's; needs --target
    faces               share of the source's plain faces that are still seen as plain faces; where a hand
                        hides the source's, nothing is measured

Formulas: `judges.measures`, `judges.pose`, `judges.sharpness`. "moving" figures leave out what is the same in
every frame, as it is between two faces of different shape. Measure frames that the model was not trained on.

    python benchmarks/bench_expression.py [MODEL.onnx CLIP] [--range 9.5-18.4] [--target CLIP] [--json FILE]
    python benchmarks/bench_expression.py --converted FILE CLIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from judges import measures, pose
from judges.command import Figures, answer
from judges.watch import Pair, Seen
from numpy.typing import NDArray

from crossface.engine.errors import BadInputError


def figures(pairs: Sequence[Pair], target: NDArray[np.float64] | None = None) -> Figures:
    """All figures of a clip.

    Args:
        pairs: of its frames, in order.
        target: embeddings ``[M, 128]`` of the model's person.

    Returns:
        By name; None where there is nothing to measure.

    Raises:
        BadInputError: fewer than two frames in which both have a face.
    """
    sources = [pair.source for pair in pairs if pair.source]
    both = [(pair.source, pair.result) for pair in pairs if pair.source and pair.result]
    if len(both) < 2:
        raise BadInputError(f"{len(both)} frames with a face in source and result: give a clip with a face")
    ours, theirs = ([pair[side] for pair in both] for side in (0, 1))

    def series(of: Callable[[Seen], NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.stack([of(seen) for seen in ours]), np.stack([of(seen) for seen in theirs])

    landmarks = series(lambda seen: seen.look.landmarks)
    lids, irises = series(lambda seen: seen.look.lids), series(lambda seen: seen.look.irises)
    mouths = [measures.mouth_opening(each) for each in landmarks]
    eyes = [measures.eye_opening(each) for each in lids]
    gazes = [measures.gaze(*each) for each in zip(lids, irises, strict=True)]
    blinks = measures.blinks(*eyes)
    inner = measures.inner_error(*landmarks)
    turned = measures.pose_error(*series(lambda seen: pose.rotation(seen.look.landmarks)))
    known = [
        (s.embedding, r.embedding) for s, r in both if s.embedding is not None and r.embedding is not None
    ]
    here, made = (np.array([pair[side] for pair in known]) for side in (0, 1))
    return {
        "frames": len(pairs),
        "frames_with_face": len(sources),
        "face_share": len(both) / len(sources),
        "mouth_error_pct": float(100 * np.abs(mouths[1] - mouths[0]).mean()),
        "mouth_correlation": measures.correlation(mouths[0], mouths[1], measures.LEAST_MOUTH_SPREAD),
        "eye_correlation": measures.correlation(eyes[0], eyes[1], measures.LEAST_EYE_SPREAD),
        "gaze_correlation": measures.correlation(gazes[0], gazes[1], measures.LEAST_GAZE_SPREAD),
        "mouth_spread": float(mouths[0].std()),
        "eye_spread": float(eyes[0].std()),
        "gaze_spread": float(gazes[0].std()),
        "blinks": blinks.source,
        "blinks_of_result": blinks.result,
        "blink_recall": blinks.recall,
        "inner_error_pct": inner.whole,
        "inner_error_moving_pct": inner.moving,
        "pose_deg": turned.whole,
        "pose_moving_deg": turned.moving,
        "pose_spread_deg": turned.spread,
        "sharpness_ratio": _median([(s.edges, r.edges) for s, r in both]),
        "fine_detail_ratio": _median([(s.detail, r.detail) for s, r in both]),
        "identity_distance": float(np.linalg.norm(here - made, axis=1).mean()) if len(known) else None,
        "identity_change": (
            measures.identity_change(here, made, target) if target is not None and len(known) else None
        ),
    }


def _median(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Of what comes out over what was there."""
    ratios = [result / source for source, result in pairs if source > 0]
    return float(np.median(ratios)) if ratios else None


def main() -> None:
    answer("what of an expression survives the swap, by landmarks that took no part", __doc__, figures)


if __name__ == "__main__":
    main()
