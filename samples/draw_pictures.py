"""Draws the pictures of the documentation: what each option does, on the demo's clips with the sample model.

    python samples/draw_pictures.py CLIPS FOLDER [NAME...]

Run by ``make pictures``. A new option gets a line in `COMPARED` and a paragraph in ``docs/options.md``.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from crossface.engine.analyze import analyze
from crossface.engine.clip import ReadingSettings
from crossface.engine.compare import compare
from crossface.engine.compare_command import alternatives_of
from crossface.engine.errors import CrossfaceError
from crossface.engine.review.people import people_sheet

_MODEL = Path(__file__).with_name("demo.onnx")
_CELL_PX = 160
_TWO_FRAMES = 24
# The pan: so many frames, px from one to the next, and how much of that the shutter sees.
_PAN_FRAMES, _PAN_PX, _PAN_SHUTTER = 8, 20, 0.75


@dataclass(frozen=True)
class Compared:
    """One picture: a clip, the options that it varies, the frames that it shows."""

    clip: str
    grid: tuple[str, ...]
    at: tuple[int, ...]
    panned: bool = False


_WOMAN = "WolfgangLanger_Pexels.mp4"
COMPARED = {
    "defaults": Compared("single_face.mp4", ("colour=reinhard",), (12, 60)),
    "colour": Compared("single_face.mp4", ("colour=none,mean,reinhard,mkl,hist",), (54,)),
    "texture": Compared("single_face.mp4", ("sharpness=0,1", "grain=0,1"), (54,)),
    "refine-eyes": Compared(_WOMAN, ("refine=off,eyes",), (40, 460)),
    "refine-mouth": Compared("single_face.mp4", ("refine=off,mouth",), (17, 40)),
    "motion-blur": Compared("single_face.mp4", ("motion-blur=off,on",), (5,), panned=True),
    "mask": Compared("single_face.mp4", ("mask=both,learned,hull",), (54,)),
    "cover": Compared("single_face.mp4", ("cover=features,face,whole",), (54,)),
    "erode": Compared("single_face.mp4", ("erode=-5,0,10",), (54,)),
    "feather": Compared("single_face.mp4", ("feather=1,7.2,30",), (54,)),
    "most-yaw": Compared(_WOMAN, ("most-yaw=20,30,70",), (400,)),
    "occlusion": Compared(_WOMAN, ("occlusion=off,on",), (112, 150)),
}


def draw(clips: Path, folder: Path, names: list[str]) -> None:
    """Draws the pictures of these names; all without any."""
    unknown = sorted(set(names) - {*COMPARED, "faces"})
    if unknown:
        raise SystemExit(f"no picture is called {unknown[0]}: there are {', '.join([*COMPARED, 'faces'])}")
    with tempfile.TemporaryDirectory() as scratch:
        for name, each in COMPARED.items():
            if name in names or not names:
                clip = clips / each.clip
                if each.panned:
                    clip = _pan(clip, Path(scratch) / f"{name}.mp4")
                # No frame after the last one shown is read.
                reading = ReadingSettings(end=str(max(each.at)))
                sheet = folder / f"{name}.png"
                for _ in compare(
                    clip,
                    alternatives_of(_MODEL, each.grid),
                    sheet,
                    at=each.at,
                    reading=reading,
                    cell_px=_CELL_PX,
                ):
                    pass
                print(sheet, flush=True)
        if "faces" in names or not names:
            two, faces = Path(scratch) / "two.mp4", Path(scratch) / "shot.faces"
            for _ in analyze(_two_people(clips, two), faces, device="cpu"):
                pass
            people_sheet(two, faces, folder / "faces.png", cell_px=88)
            print(folder / "faces.png")


def _pan(clip: Path, path: Path) -> Path:
    """The clip's first frame, past which a camera moves."""
    with av.open(str(clip)) as still, av.open(str(path), "w") as film:
        picture = next(still.decode(video=0)).to_ndarray(format="rgb24")
        stream = film.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height, stream.width = picture.shape[:2]
        seen_px = range(-round(_PAN_PX * _PAN_SHUTTER / 2), round(_PAN_PX * _PAN_SHUTTER / 2) + 1)
        for number in range(_PAN_FRAMES):
            start_px = (number - _PAN_FRAMES // 2) * _PAN_PX
            exposures = [np.roll(picture, start_px + px, axis=1) for px in seen_px]
            frame = av.VideoFrame.from_ndarray(np.mean(exposures, axis=0).round().astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def _two_people(clips: Path, path: Path) -> Path:
    """The man and the woman of the demo, side by side."""
    with (
        av.open(str(clips / "single_face.mp4")) as man,
        av.open(str(clips / _WOMAN)) as woman,
        av.open(str(path), "w") as film,
    ):
        stream = film.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height = 1280, 360
        pairs = zip(range(_TWO_FRAMES), man.decode(video=0), woman.decode(video=0), strict=False)
        for number, left, right in pairs:
            shown = [each.reformat(640, 360, "rgb24").to_ndarray() for each in (left, right)]
            picture = av.VideoFrame.from_ndarray(np.concatenate(shown, axis=1), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            film.mux(stream.encode(picture))
        film.mux(stream.encode(None))
    return path


if __name__ == "__main__":
    try:
        draw(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except CrossfaceError as error:
        print(f"draw_pictures: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
