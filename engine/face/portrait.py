"""A picture of a person, for finding them in a clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av.error
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from ..clip import Clip, ReadingSettings
from ..errors import BadInputError, unreadable
from ..frame import ColourDescription, Frame, Matrix, Siting
from ..on_device.frame import in_host
from ..review.png import read_png
from .align import display_matrix
from .detector import Detector
from .landmarks import LandmarkFinder
from .looks import LookFinder
from .mesh import LEAST_PRESENCE
from .person import Person

_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG"


def find_person(picture: Path) -> Person:
    """The person with the largest face in a picture, PNG or JPEG, or in a film's first frame.

    Raises:
        InputMissingError, BadInputError: it cannot be read, or shows no face.
        ConfigurationError: face models are missing.
    """
    frame, display = _shown(picture)
    meshes = LandmarkFinder(display=display).find(frame, Detector().search(frame))
    faces = [mesh for mesh in meshes if mesh.presence >= LEAST_PRESENCE]
    if not faces:
        raise BadInputError(f"{picture}: no face is seen in it: give a picture that shows the face large")
    largest = max(faces, key=lambda mesh: mesh.box[3] - mesh.box[1])
    return Person.of([LookFinder(display=display).look(frame, largest.landmarks)])


def _shown(path: Path) -> tuple[Frame, NDArray[np.float64]]:
    """The picture, and its display matrix."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise unreadable(path, error) from error
    if magic == _PNG:
        return _frame(read_png(path)), display_matrix()
    if magic.startswith(_JPEG):
        return _frame(_read_jpeg(path)), display_matrix()
    with Clip(path, ReadingSettings(interlaced="as_progressive")) as clip:
        for decoded in clip:
            return in_host(decoded), clip.info.display
    raise BadInputError(f"{path}: holds no picture: give a PNG or a JPEG that shows the face large")


def _frame(rgb: NDArray[np.uint8]) -> Frame:
    colour = ColourDescription(Matrix.RGB, True, Siting.LEFT, 8, 0, 0)
    red, green, blue = (rgb[:, :, channel] for channel in range(3))
    return Frame(0, 0, 0, Fraction(1), (green, blue, red), colour, None)


def _read_jpeg(path: Path) -> NDArray[np.uint8]:
    decoder = VideoCodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode", "max_pixels": str(1 << 27)}
    try:
        pictures = [*decoder.decode(Packet(path.read_bytes())), *decoder.decode(None)]
    except av.error.FFmpegError as error:
        raise BadInputError(f"{path}: the JPEG image is damaged: export it again") from error
    if len(pictures) != 1 or pictures[0].is_corrupt:
        raise BadInputError(f"{path}: the JPEG image is damaged: export it again")
    return pictures[0].to_ndarray(format="rgb24").astype(np.uint8, copy=False)
