"""Are tracks steady on a still face, without lag on a fast turn, and without holes?

Every clip is analysed; of each track of a second or more the transform that faces are aligned by is compared,
as measured and as it is used, by the corners of a square as high as the face:

    still               share of its frames in which the face keeps still: from 10 frames before to 10 after,
                        the measured transform, by a Savitzky-Golay filter of 15 frames, never moves by 0.25 %
                        of the face's height a frame
    shake, steadied     RMS of the corners' second differences there, as measured and as used, in % of
                        the height
    calmer              the former over the latter
    fast                frames in which it moves by more than 1 % a frame
    lag                 in these, the mean and the largest distance between the corners as measured and as
                        used, the mean of the four, in % of the height
    bridged             frames that nobody saw, between two in which the face was seen

    python benchmarks/bench_tracks.py [CLIP...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from machine import write_result
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import savgol_filter

from crossface.engine.analyze import analyze
from crossface.engine.errors import CrossfaceError
from crossface.engine.face.align import LANDMARK_COUNT, apply, crop_to_frame

Corners = NDArray[np.float64]
_SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
_CLIPS = Path(__file__).parents[1] / "build" / "clips"
_LEAST_FRAMES = 30
_WINDOW_FRAMES, _AROUND_FRAMES = 15, 10
_STILL, _FAST = 0.0025, 0.01


def figures(faces: Path) -> dict[str, object]:
    """Of a clip, by its faces file."""
    lines = faces.read_text(encoding="utf-8").splitlines()
    points = json.loads(lines[0])["points"]
    tracks: dict[int, list[dict[str, object]]] = defaultdict(list)
    for line in lines[1:-1]:
        for face in json.loads(line)["faces"]:
            tracks[face["track"]].append(face)
    listed = json.loads(lines[-1])["tracks"]
    return {
        "tracks": len(listed),
        "dropped": sum(track["dropped"] is not None for track in listed),
        "bridged": sum(track["bridged_frames"] for track in listed),
        "each": [
            {"track": track, **_of_track(frames, points)}
            for track, frames in tracks.items()
            if len(frames) >= _LEAST_FRAMES
        ],
    }


def _of_track(frames: list[dict[str, object]], points: list[int]) -> dict[str, object]:
    # A bridged frame was not measured: it says nothing, and is as good as it is used.
    measured = _corners([face.get("raw", face["landmarks"]) for face in frames], points)
    used = _corners([face["landmarks"] for face in frames], points)
    height_px = np.hypot(*(measured[:, 3] - measured[:, 0]).T)
    slow = savgol_filter(measured, _WINDOW_FRAMES, 2, axis=0)
    speed = np.sqrt(np.square(np.gradient(slow, axis=0)).sum(axis=2).mean(axis=1)) / height_px
    # A head that turns back stands still for a moment, and is no still face.
    still, fast = maximum_filter1d(speed, 2 * _AROUND_FRAMES + 1) < _STILL, speed > _FAST
    shakes = [_shake_pct(each, height_px, still) for each in (measured, used)]
    lag_pct = 100 * np.hypot(*(used - measured).transpose(2, 0, 1)).mean(axis=1)[fast] / height_px[fast]
    return {
        "frames": len(frames),
        "height_px": round(float(height_px.mean()), 1),
        "still": round(float(still.mean()), 3),
        "shake_pct": shakes[0],
        "steadied_pct": shakes[1],
        "calmer": None if shakes[0] is None or not shakes[1] else round(shakes[0] / shakes[1], 1),
        "fast_frames": int(fast.sum()),
        "fastest_pct": round(float(100 * speed.max()), 2),
        "mean_lag_pct": round(float(lag_pct.mean()), 3) if len(lag_pct) else None,
        "largest_lag_pct": round(float(lag_pct.max()), 3) if len(lag_pct) else None,
    }


def _corners(landmarks: list[object], points: list[int]) -> Corners:
    """``[T, 4, 2]``, luma px."""
    found = []
    for each in landmarks:
        every = np.full((LANDMARK_COUNT, 2), np.nan)
        every[points] = each
        found.append(apply(crop_to_frame(every, size_px=1, coverage=1.0), _SQUARE))
    return np.array(found)


def _shake_pct(corners: Corners, height_px: NDArray[np.float64], still: NDArray[np.bool_]) -> float | None:
    inside = still[1:-1]
    if inside.sum() < _WINDOW_FRAMES:
        return None
    second = np.diff(corners, n=2, axis=0)[inside] / height_px[1:-1][inside, None, None]
    return round(float(100 * np.sqrt(np.square(second).sum(axis=2).mean())), 4)


def _told(name: str, found: dict[str, object]) -> Iterator[str]:
    yield f"{name}: {found['tracks']} tracks, {found['dropped']} dropped, {found['bridged']} frames bridged"
    for each in found["each"]:  # type: ignore[attr-defined]
        yield "    " + ", ".join(f"{key} {value}" for key, value in each.items())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="*", type=Path, help="those of the tests without any")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    all_figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        for clip in options.clips or sorted(_CLIPS.iterdir()):
            faces = Path(scratch) / "shot.faces"
            for _ in analyze(clip, faces, device="cpu", overwrite=True):
                pass
            all_figures[clip.name] = figures(faces)
            print(*_told(clip.name, all_figures[clip.name]), sep="\n", flush=True)
    if options.json is not None:
        question = "whether tracks are steady on still faces, without lag on fast turns, and without holes"
        write_result(options.json, question, ("av", "onnxruntime"), {"clips": all_figures})


if __name__ == "__main__":
    try:
        main()
    except CrossfaceError as error:
        print(f"bench_tracks: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
