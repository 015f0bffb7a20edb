"""A faceset, decoded once into bytes that training gathers from.

Reading and decoding pictures at every step is what starves trainers of this
kind. The bytes of a large faceset do not fit in memory either, so they lie in
a file beside the faceset, which is mapped, and are copied to a GPU whole where
they fit there.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ..engine.errors import BadInputError, BusyError, InputMissingError, OutputError
from ..engine.face.align import LEFT_EYE, LIPS, RIGHT_EYE
from ..engine.part_file import PartFile
from ..engine.runtime.onnx import available_cores
from ..engine.swap.mask import fill, hull
from .face_points import FacePoints, face_points, watch
from .faceset import INDEX_NAME, FaceRecord, Faceset
from .presets import Preset
from .sampling import measures, one_epoch
from .seeds import generator

FORMAT_VERSION = 1
CHANNELS = 5
# How far the priority of eyes and mouth reaches around them, in sides of the model's crop.
_PRIORITY_MARGIN = 0.03
_HEADER_BYTES = 4096
# Of a GPU's free memory, for one person: the network, its gradients and the other person need theirs.
_SHARE_OF_GPU = 0.25
_DECODED_AHEAD = 64
_BUSY_PAUSE_S = 0.2


class Faces(NamedTuple):
    """Some faces of one person, as stored.

    Attributes:
        pixels: uint8 `[N,5,T,T]`.
        points: of these pictures; None where the store has none.
    """

    pixels: Tensor
    points: FacePoints | None


@dataclass(frozen=True)
class FaceStore:
    """All faces of one person.

    Attributes:
        pixels: uint8 `[N,5,T,T]`: R, G, B, face mask, priority of eyes and mouth; 255 is 1. On a CPU it
            may be a file that is mapped for reading: never write to it.
        span: side of the model's crop over the side of the stored crop; both have one centre.
        epoch: int64 `[E]`, the faces of one epoch in any order: every face, rare ones more than once;
            each once where None.
        points: of all faces, on the CPU; None where nothing is known of them.
    """

    pixels: Tensor
    span: float
    epoch: Tensor | None = None
    points: FacePoints | None = None

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def faces(self, index: Tensor) -> Faces:
        """Some faces; their pixels where the store's are."""
        return Faces(self._gather(index), None if self.points is None else self.points.at(index))

    def chosen(self, step: int, count: int, seed: int, stream: int) -> Tensor:
        """The faces of one step: int64 `[count]` on the CPU.

        Every face is shown before any epoch begins again: an epoch is a
        permutation that follows from (seed, stream, epoch) alone, so that a
        resumed run needs no more than its step number.
        """
        faces = torch.arange(len(self)) if self.epoch is None else self.epoch
        length, first = len(faces), step * count
        order = torch.cat(
            [
                torch.randperm(length, generator=generator(seed, stream, epoch))
                for epoch in range(first // length, (first + count - 1) // length + 1)
            ]
        )
        start = first % length
        return faces[order[start : start + count]]

    def spread(self, count: int) -> list[int]:
        """Which faces to look at for an impression of all: ``count`` at even distances."""
        return [len(self) * (2 * n + 1) // (2 * count) for n in range(count)]

    def centred(self, index: list[int], size_px: int) -> Tensor:
        """Faces as the model will meet them, not warped: float32 `[len(index),5,S,S]` in 0..1."""
        faces = self._gather(torch.tensor(index)).float() / 255
        theta = torch.eye(2, 3, device=faces.device).mul_(self.span).expand(len(index), 2, 3)
        grid = functional.affine_grid(theta, [len(index), 1, size_px, size_px], align_corners=False)
        return functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)

    def _gather(self, index: Tensor) -> Tensor:
        return self.pixels.index_select(0, index.to(self.pixels.device))


def load_store(faceset: Faceset, preset: Preset, device: torch.device, *, balanced: bool = True) -> FaceStore:
    """The faces at the size at which the model's crop is ``preset.size_px`` wide.

    They are decoded where the faceset's folder does not hold them already. A
    folder that cannot be written gets nothing; the bytes then lie in a
    temporary file without a name.

    Args:
        faceset: whose pictures.
        preset: of the network that is to see them.
        device: on a GPU they lie there where they fit, else on the CPU.
        balanced: show faces of rare pose and expression more often; see `one_epoch`.

    Raises:
        BadInputError: no faces, crops cut tighter than the model's, or a damaged picture.
        InputMissingError: a picture is missing.
        OutputError: no room for the bytes.
    """
    if not faceset.records:
        raise BadInputError(f"{faceset.folder}: holds no faces: extract them from a clip first")
    span = preset.coverage / faceset.coverage
    if span > 1:
        raise BadInputError(
            f"{faceset.folder}: crops cover {faceset.coverage:g} face heights, but {preset.name} sees "
            f"{preset.coverage:g}: extract again with a larger coverage"
        )
    pixels = _mapped(faceset, _Layout(faceset, round(preset.size_px / span), preset.size_px))
    side_px = pixels.shape[-1]
    landmarks = np.stack([record.crop_landmarks() for record in faceset.records])
    landmarks *= side_px / faceset.size_px
    watched = watch(pixels, landmarks)
    epoch = one_epoch(measures(watched)) if balanced else None
    points = face_points(watched, landmarks, side_px)
    if device.type == "cuda" and pixels.numel() <= _SHARE_OF_GPU * torch.cuda.mem_get_info(device)[0]:
        pixels = pixels.to(device)
    return FaceStore(pixels, span, epoch, points)


def priority(landmarks: NDArray[np.float64], side_px: int, margin_px: float) -> NDArray[np.float32]:
    """Where eyes and mouth are: float32 `[side_px,side_px]` in 0..1.

    Args:
        landmarks: `[468,2]` px of the picture.
        side_px: of the picture.
        margin_px: how far around lids and lips it reaches.
    """
    angle = np.arange(8) * (2 * np.pi / 8)
    around = np.stack((np.cos(angle), np.sin(angle)), axis=1) * margin_px
    regions = [landmarks[list(region)] for region in (LEFT_EYE, RIGHT_EYE, LIPS)]
    filled = [fill((points[:, None] + around).reshape(-1, 2), side_px) for points in regions]
    anywhere: NDArray[np.float32] = np.maximum.reduce(filled)
    return anywhere


class _Layout:
    """How the file of a store looks: a header of fixed length, then the faces one after the other."""

    def __init__(self, faceset: Faceset, side_px: int, size_px: int) -> None:
        self.faceset = faceset
        self.size_px = size_px
        self.shape = (len(faceset.records), CHANNELS, side_px, side_px)
        self.face_bytes = CHANNELS * side_px**2
        self.file_bytes = _HEADER_BYTES + self.shape[0] * self.face_bytes

    def header(self) -> bytes:
        """What the file must begin with for its faces to be those of the faceset as it is now.

        Raises:
            InputMissingError: a picture is missing.
        """
        # The faceset's own hash knows nothing of a picture that somebody has retouched.
        pictures = hashlib.sha256()
        for record in self.faceset.records:
            path = self.faceset.folder / record.file
            try:
                state = path.stat()
            except OSError as error:
                raise InputMissingError(
                    f"{path}: cannot be read ({error.strerror}): extract again"
                ) from error
            pictures.update(f"{record.file} {state.st_size} {state.st_mtime_ns}\n".encode())
        fields = {
            "store": FORMAT_VERSION,
            "software": version("crossface"),
            "faceset": self.faceset.data_hash,
            "pictures": pictures.hexdigest(),
            "size_px": self.size_px,
            "shape": self.shape,
        }
        return json.dumps(fields).encode().ljust(_HEADER_BYTES - 1) + b"\n"

    def write(self, file: BinaryIO, header: bytes) -> None:
        """Raises: BadInputError, InputMissingError, OSError."""
        file.write(header)
        with ThreadPoolExecutor(available_cores()) as pool:
            # In groups, so that what is decoded and not yet written stays bounded.
            for first in range(0, self.shape[0], _DECODED_AHEAD):
                for face in pool.map(self._face, self.faceset.records[first : first + _DECODED_AHEAD]):
                    file.write(face.data)
        file.flush()

    def _face(self, record: FaceRecord) -> NDArray[np.uint8]:
        """One face of `FaceStore.pixels`."""
        picture, side_px = self.faceset.picture(record), self.shape[-1]
        landmarks = record.crop_landmarks().astype(np.float64) * (side_px / self.faceset.size_px)
        face = np.empty(self.shape[1:], np.uint8)
        face[:3] = _resized(picture, side_px)
        face[3] = _as_bytes(hull(landmarks, side_px))
        face[4] = _as_bytes(priority(landmarks, side_px, _PRIORITY_MARGIN * self.size_px))
        return face


def _mapped(faceset: Faceset, layout: _Layout) -> Tensor:
    header = layout.header()
    name = f"store-{layout.size_px}-{layout.shape[-1]}-{faceset.data_hash[:12] or 'faces'}.bytes"
    path = faceset.folder / name
    while True:
        if file := _opened(path):
            with file:
                if os.fstat(file.fileno()).st_size == layout.file_bytes and _begins(file, header):
                    return _map(file, layout)
        try:
            with PartFile(path, overwrite=True) as part:
                _remove_strays(faceset.folder, path)
                with part.open("wb") as file:
                    layout.write(file, header)
        except BusyError:
            # Another run decodes the same faces: what it makes is what we need.
            time.sleep(_BUSY_PAUSE_S)
        except OutputError:
            return _unnamed(layout, header)


def _opened(path: Path) -> BinaryIO | None:
    with suppress(OSError):
        return path.open("rb")
    return None


def _begins(file: BinaryIO, header: bytes) -> bool:
    return file.read(len(header)) == header


def _remove_strays(folder: Path, wanted: Path) -> None:
    """Stores that no run will ask for again: of an index that has been rewritten since."""
    index_changed_ns = (folder / INDEX_NAME).stat().st_mtime_ns
    for path in folder.glob("store-*.bytes"):
        if path != wanted and path.stat().st_mtime_ns < index_changed_ns:
            path.unlink(missing_ok=True)


def _unnamed(layout: _Layout, header: bytes) -> Tensor:
    folder = tempfile.gettempdir()
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            layout.write(file, header)
            return _map(file, layout)
    except OSError as error:
        raise OutputError(
            f"{layout.faceset.folder}: its decoded faces need {layout.file_bytes >> 20} MiB there or in "
            f"{folder} ({error.strerror}): make room, or set TMPDIR"
        ) from error


def _map(file: BinaryIO, layout: _Layout) -> Tensor:
    # Shared and read-only, so that the system may drop any page and counts none as ours.
    mapping = mmap.mmap(file.fileno(), layout.file_bytes, prot=mmap.PROT_READ)
    with warnings.catch_warnings():
        # PyTorch has no tensors that refuse to be written.
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        flat = torch.frombuffer(mapping, dtype=torch.uint8, offset=_HEADER_BYTES)
    return flat.view(layout.shape)


def _resized(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    image = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    size = (side_px, side_px)
    resized = functional.interpolate(image, size, mode="bicubic", antialias=True, align_corners=False)
    return resized[0].round().clamp(0, 255).to(torch.uint8).numpy()


def _as_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(image * 255).astype(np.uint8)
