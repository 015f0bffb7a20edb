"""What the choices of colour, sharpness and grain make of a face: a sheet to look at.

A row a clip: the face as it was, then as each of the choices leaves it, after some frames, when averages have
settled. Below each, in the caption, how sharp the new face's skin is beside the old one's (edges and finest
detail, 1 is alike), for which the formulas are those of `judges.sharpness`.

    python benchmarks/match_sheet.py MODEL.onnx OUT.png CLIP... [--frame 30] [--choices colour|texture]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from judges import sharpness
from numpy.typing import NDArray

from crossface.engine import kernels
from crossface.engine.analyze import analyze
from crossface.engine.clip import Clip
from crossface.engine.errors import BadInputError
from crossface.engine.face.faces_file import FacesFile, FrameFaces
from crossface.engine.frame import Frame
from crossface.engine.review.png import write_png
from crossface.engine.review.strip import Image, caption, stacked
from crossface.engine.settings import ConversionSettings
from crossface.engine.swap.batch import BatchSwapper
from crossface.engine.swap.colour_match import METHODS
from crossface.engine.swap.mask import SKIN, hull, soften
from crossface.engine.swap.model import Swapper, load_swappers
from crossface.engine.swap.steady_match import MatchSettings

CHOICES: Mapping[str, Mapping[str, MatchSettings]] = {
    "colour": {method: MatchSettings(method) for method in METHODS},
    "texture": {
        "as drawn": MatchSettings(),
        "sharp": MatchSettings(sharpness=1.0),
        "grain": MatchSettings(grain=1.0),
        "both": MatchSettings(sharpness=1.0, grain=1.0),
    },
}
_SETTLING_FRAMES = 12
# Side of a picture over the longer side of the face.
_MARGIN = 1.5


def alternatives(
    clip: Path,
    swappers: Mapping[str | None, Swapper],
    choices: Mapping[str, MatchSettings],
    *,
    frame: int = 30,
    side_px: int = 120,
) -> Image:
    """One row of the sheet.

    Args:
        clip: any.
        swappers: of `load_swappers`.
        choices: by what is written above each.
        frame: that is shown; the last one of a shorter clip.
        side_px: of each picture.

    Raises:
        BadInputError: nobody is in that frame.
    """
    pictures, plain = [], None
    with TemporaryDirectory() as folder:
        faces = Path(folder) / "clip.faces"
        list(analyze(clip, faces, device="cpu"))
        for name, match in {"source": None, **choices}.items():
            shown, line = _converted(clip, faces, swappers, match, frame)
            if not line.faces:
                raise BadInputError(f"{clip}: has no face in frame {frame}: choose another one by --frame")
            x0, y0, x1, y1 = line.faces[0].box
            side = _MARGIN * max(x1 - x0, y1 - y0)
            corner = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) - side / 2
            matrix = np.column_stack([np.eye(2) * side / side_px, corner])
            # In px of the plate, where sharpness is a matter of its samples.
            fine_px = int(side)
            fine = kernels.crop(shown, np.column_stack([np.eye(2), corner])[None], fine_px)[0]
            skin = soften(hull((line.faces[0].landmarks - corner).astype(np.float64), fine_px), SKIN)
            amplitudes = np.array([sharpness.edges(fine, skin), sharpness.detail(fine, skin)])
            plain = amplitudes if plain is None else plain
            edges, detail = amplitudes / plain
            label = name if match is None else f"{name}  {edges:.2f} {detail:.2f}"
            crop = np.clip(kernels.crop(shown, matrix[None], side_px)[0], 0.0, 1.0)
            pictures.append(np.concatenate([_bytes(crop), caption(label, side_px)]))
    return np.concatenate(pictures, axis=1)


def _converted(
    clip: Path,
    faces: Path,
    swappers: Mapping[str | None, Swapper],
    match: MatchSettings | None,
    number: int,
) -> tuple[Frame, FrameFaces]:
    """A frame as it was, or with its new face."""
    with Clip(clip) as opened:
        first = max(number - _SETTLING_FRAMES, 0)
        frames = list(islice(zip(opened, FacesFile(faces), strict=False), first, number + 1))
        if match is not None:
            mask = ConversionSettings().mask
            swapper = BatchSwapper(swappers, opened.info.display, match=match, mask=mask)
            for _ in swapper.swapped([frames]):
                pass
    return frames[-1]


def _bytes(picture: NDArray[np.float32]) -> Image:
    return np.asarray((picture * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--frame", type=int, default=30)
    parser.add_argument("--choices", choices=sorted(CHOICES), default="colour")
    given = parser.parse_args(arguments)
    swappers = load_swappers({None: given.model}, batch=8)
    choices = CHOICES[given.choices]
    write_png(
        given.out,
        stacked([alternatives(clip, swappers, choices, frame=given.frame) for clip in given.clips]),
    )


if __name__ == "__main__":
    main()
