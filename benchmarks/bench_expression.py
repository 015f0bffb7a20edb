"""Does the new face do what the old one did? By landmarks that took no part in training or alignment.

The clip is converted without loss, or comes with its result. The face in each frame of both is looked at by
networks of other makers than the pipeline's (see `judges`), without any smoothing, and compared:

    mouth, eyes, gaze   correlation of how far they are open, or where they look, between source and result;
                        "-" where the source hardly moves, as a correlation would be one of noise
    blinks              of the source's, how many the result has too
    inner landmarks     distance in % of the eye distance, after a similarity transform
    pose                angle in degrees between the two heads
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

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from judges import measures, pose
from judges.watch import Pair, Seen, embeddings, watch
from machine import write_result
from numpy.typing import NDArray

from crossface.engine import ConversionSettings, ReadingSettings, convert
from crossface.engine.clip import Clip
from crossface.engine.errors import BadInputError, CrossfaceError, UsageError
from crossface.engine.swap.model import read_model

ROOT = Path(__file__).parents[1]
# Model and clip, and where its person is seen with her eyes open and nothing before her face.
DEMO = (
    [ROOT / "samples/demo.onnx", ROOT / "build/clips/single_face.mp4"],
    ROOT / "build/clips/WolfgangLanger_Pexels.mp4",
    "9.5-18.4",
)
# The network's work is measured, not the encoder's. Of 8 bits this is exact.
LOSSLESS = {"preset": "ultrafast", "qp": "0"}
Figures = dict[str, float | int | None]


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


def compare(source: Path, result: Path, span: str | None, target: NDArray[np.float64] | None) -> Figures:
    """Figures of a clip, or a range of it, and its result."""
    with Clip(source, reading(span)) as clip, Clip(result) as made:
        return figures(list(watch(clip, made)), target)


def reading(span: str | None) -> ReadingSettings:
    """A range such as ``9.5-18.4``, in seconds; either end may be left out."""
    if span is None:
        return ReadingSettings()
    start, dash, end = span.partition("-")
    if not dash:
        raise UsageError(f'{span}: no range; write it as "9.5-18.4", in seconds')
    return ReadingSettings(start=f"{start}s" if start else None, end=f"{end}s" if end else None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", type=Path, nargs="*", metavar="MODEL CLIP", help="the demo's without any")
    parser.add_argument(
        "--converted", type=Path, metavar="FILE", help="the result, where it is there already"
    )
    parser.add_argument("--faces", type=Path, metavar="FILE", help="of an analysis that was edited")
    parser.add_argument("--range", metavar="START-END", help="of the clip, in seconds")
    parser.add_argument("--target", type=Path, metavar="CLIP", help="that shows the model's person")
    parser.add_argument("--target-range", metavar="START-END", help="of it, in seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args()
    wanted = 1 if options.converted else 2
    if not options.paths and not options.converted:
        options.paths, options.target, options.target_range = DEMO
    if len(options.paths) != wanted:
        parser.error("give MODEL and CLIP, or --converted FILE and CLIP")
    *models, source = options.paths

    target = None
    if options.target:
        with Clip(options.target, reading(options.target_range)) as clip:
            target = embeddings(clip, every=10)
    with tempfile.TemporaryDirectory(prefix="crossface-") as scratch:
        made = options.converted
        if made is None:
            made = Path(scratch) / "converted.mov"
            settings = ConversionSettings(encoder_options=LOSSLESS)
            span = reading(options.range)
            for _ in convert(source, models[0], made, faces=options.faces, settings=settings, reading=span):
                pass
        results = compare(source, made, options.range, target)

    for name, value in results.items():
        print(f"{name:24}" + ("         -" if value is None else f"{value:10.3f}".replace(".000", "    ")))
    if options.json:
        about: dict[str, object] = {"clip": source.name, "range_s": options.range}
        for model in models:
            metadata, _ = read_model(model)
            about |= {"model": model.name, "architecture": metadata.architecture, "steps": metadata.steps}
        write_result(
            options.json,
            "what of an expression survives the swap, by landmarks that took no part",
            ("av", "onnxruntime"),
            {**about, "target": options.target and options.target.name, "figures": results},
        )


if __name__ == "__main__":
    try:
        main()
    except CrossfaceError as error:
        print(f"bench_expression: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
