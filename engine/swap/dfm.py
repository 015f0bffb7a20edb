"""Reads DFM files: networks that DeepFaceLab exports, and that live and batch tools take.

A DFM is an ONNX network, all in float32. It takes ``in_face:0`` ``[N, R, R, 3]`` (BGR, 0..1, aligned as
`whole_face` says) and perhaps ``morph_value:0`` ``[1]``. It gives ``out_face_mask:0`` ``[N, R, R, 1]`` of
the face that went in, ``out_celeb_face:0`` ``[N, R, R, 3]`` and ``out_celeb_face_mask:0`` ``[N, R, R, 1]``.

It says nothing of who is drawn, nor how it was trained. Nothing in it can run code; DeepFaceLab's own
files are pickles, which can, and are not read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, unreadable
from ..file_state import FileState, file_state
from ..runtime.base import Array, Tensor
from ..runtime.onnx import OnnxRunner
from ..runtime.onnx_file import read_tensors

DFM_SUFFIX = ".dfm"
# What the author of DeepFaceLab's own player begins with.
DEFAULT_MORPH = 0.75

INPUT_NAME, _MORPH_NAME = "in_face:0", "morph_value:0"
# In their order.
OUTPUT_NAMES = ("out_face_mask:0", "out_celeb_face:0", "out_celeb_face_mask:0")
_CHANNELS = (1, 3, 1)
_LEAST_PX, _MOST_PX = 16, 4096
# Masks are lower than one 8-bit code value where there is no face, but hardly ever 0.
_LEAST_MASK = 1.0 / 255.0
_EXPORT_AGAIN = "export it again as .dfm"


def is_dfm(path: Path) -> bool:
    """Whether a model's file is a DFM, by its name: such files say nothing of themselves."""
    return path.suffix.lower() == DFM_SUFFIX


@dataclass(frozen=True)
class DfmSignature:
    """What a DFM takes and gives.

    Attributes:
        face: the input.
        morph: name of the second input, where there is one.
        outputs: places of mask of the face, drawn face and its mask among the outputs.
        size_px: side R of what goes in.
        output_px: side of what comes out; None where the file does not say.
        state: of the file that was read.
    """

    face: Tensor
    morph: str | None
    outputs: tuple[int, int, int]
    size_px: int
    output_px: int | None
    state: FileState


def read_signature(path: Path) -> DfmSignature:
    """What a file says that it takes and gives; its network is not loaded.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not a DFM: no ONNX, other inputs or outputs, of no size or of sides that differ.
    """
    try:
        with path.open("rb") as file:
            if file.read(1) == b"\x80":
                raise BadInputError(
                    f"{path}: is a pickle, which could run code, and is not read: export the model as .dfm "
                    "in DeepFaceLab"
                )
            inputs, outputs = read_tensors(file)
            state = file_state(file.fileno())
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise BadInputError(f"{path}: not a DFM ({error}): {_EXPORT_AGAIN}") from error
    try:
        return _signature([tensor for tensor, _ in inputs], [tensor for tensor, _ in outputs], state)
    except ValueError as error:
        raise BadInputError(f"{path}: not a DFM that can be used ({error}): {_EXPORT_AGAIN}") from error


def _signature(inputs: Sequence[Tensor], outputs: Sequence[Tensor], state: FileState) -> DfmSignature:
    """Raises ValueError for what is no DFM's."""
    faces = [tensor for tensor in inputs if _bare(tensor.name) == _bare(INPUT_NAME)]
    morphs = [tensor for tensor in inputs if _bare(tensor.name) == _bare(_MORPH_NAME)]
    if len(faces) != 1 or len(faces) + len(morphs) != len(inputs) or len(morphs) > 1:
        found = ", ".join(map(str, inputs)) or "nothing"
        raise ValueError(f"it takes {found}, not {INPUT_NAME} and perhaps {_MORPH_NAME}")
    (face,) = faces
    size_px = _side_px(face, 3)
    if size_px is None:
        raise ValueError(f"{face} has no fixed size")
    if any(math.prod(side or 1 for side in morph.shape) != 1 for morph in morphs):
        raise ValueError(f"{morphs[0]} is more than one number")
    places = _places(outputs)
    sides = {_side_px(outputs[place], n) for place, n in zip(places, _CHANNELS, strict=True)}
    sides.discard(None)
    if len(sides) > 1:
        raise ValueError(f"what it gives differs in size: {', '.join(map(str, outputs))}")
    output_px = sides.pop() if sides else None
    return DfmSignature(face, morphs[0].name if morphs else None, places, size_px, output_px, state)


def _bare(name: str) -> str:
    return name.partition(":")[0]


def _places(outputs: Sequence[Tensor]) -> tuple[int, int, int]:
    """By name, and where the names are others by order, as the readers of such files do."""
    names = [_bare(tensor.name) for tensor in outputs]
    wanted = [_bare(name) for name in OUTPUT_NAMES]
    if len(names) != len(wanted):
        raise ValueError(f"it gives {len(names)} tensors, not {', '.join(OUTPUT_NAMES)}")
    if set(names) != set(wanted):
        return 0, 1, 2
    mask, drawn, drawn_mask = map(names.index, wanted)
    return mask, drawn, drawn_mask


def _side_px(tensor: Tensor, channels: int) -> int | None:
    """Of a batch of square pictures; None where the file leaves it open.

    Raises:
        ValueError: it is something else.
    """
    # Files of some makers lack the shapes of what comes out.
    shape = tensor.shape or (None,) * 4
    if len(shape) != 4 or shape[3] not in (channels, None) or tensor.dtype != np.float32:
        raise ValueError(f"{tensor} is not float32[N,R,R,{channels}]")
    _, height, width, _ = shape
    if height is None or width is None:
        return None
    if height != width or not _LEAST_PX <= height <= _MOST_PX:
        raise ValueError(f"{tensor} is not a square of {_LEAST_PX} to {_MOST_PX} px")
    return height


class DfmRunner:
    """A DFM as a network of our own kind: planes of RGB in, planes of RGB and one mask out.

    Args:
        path: the file.
        threads: 0 for one a core.
        morph: 0..1, how much of the person drawn there is in the face, where the network takes that;
            `DEFAULT_MORPH` where None.

    Attributes:
        input: ``face`` ``[N, 3, R, R]``, RGB 0..1.
        outputs: ``swapped`` ``[N, 3, R', R']``, RGB, and ``mask`` ``[N, 1, R', R']``, in 0..1: where both
            people have a face.
        size_px: side R.
        output_px: side R', which is R as far as we know of such files.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: not a DFM, or it cannot be run.
        OutOfMemoryError: no memory for its weights.
    """

    def __init__(self, path: Path, *, threads: int = 0, morph: float | None = None) -> None:
        self._path = path
        self._signature = signature = read_signature(path)
        constants = {}
        if signature.morph is not None:
            constants[signature.morph] = np.array([DEFAULT_MORPH if morph is None else morph], np.float32)
        self._runner = OnnxRunner(path, threads=threads, constants=constants)
        # Some files are for one face only.
        self._at_once = self._runner.input.shape[0]
        self.size_px = signature.size_px
        self.output_px = signature.output_px or self._measured_px()
        self.input = _planes("face", 3, self.size_px)
        self.outputs = _planes("swapped", 3, self.output_px), _planes("mask", 1, self.output_px)

    @property
    def state(self) -> FileState | None:
        """See `OnnxRunner.state`."""
        return self._runner.state

    def run(self, batch: Array) -> tuple[Array, ...]:
        """Draws ``[N, 3, R, R]``; see `OnnxRunner.run`."""
        faces = np.ascontiguousarray(batch[:, ::-1].transpose(0, 2, 3, 1), np.float32)
        count, at_once, side_px = len(faces), self._at_once or len(faces), self.output_px
        drawn = np.empty((count, 3, side_px, side_px), np.float32)
        masks = np.empty((count, 1, side_px, side_px), np.float32)
        for start in range(0, count, at_once):
            part = slice(start, start + at_once)
            padded = np.zeros((at_once, *faces.shape[1:]), np.float32)
            padded[: len(faces[part])] = faces[part]
            given = self._given(padded)
            if [each.shape for each in given] != _shapes(at_once, side_px):
                raise self._unfit(given)
            mask, face, face_mask = (each[: len(faces[part])] for each in given)
            np.clip(face[..., ::-1].transpose(0, 3, 1, 2), 0.0, 1.0, out=drawn[part])
            np.minimum(mask, face_mask, out=masks[part, 0, :, :, None])
        np.clip(masks, 0.0, 1.0, out=masks)
        masks[masks < _LEAST_MASK] = 0.0
        return drawn, masks

    def _given(self, faces: NDArray[np.float32]) -> list[Array]:
        """What the network makes of ``[n, R, R, 3]``, in the order of the contract."""
        given = self._runner.run(faces)
        return [given[place] for place in self._signature.outputs]

    def _measured_px(self) -> int:
        """Side of what comes out, where the file does not say."""
        count = self._at_once or 1
        given = self._given(np.zeros((count, self.size_px, self.size_px, 3), np.float32))
        side_px = given[1].shape[1] if given[1].ndim == 4 else 0
        if not _LEAST_PX <= side_px <= _MOST_PX or [each.shape for each in given] != _shapes(count, side_px):
            raise self._unfit(given)
        return side_px

    def _unfit(self, given: Sequence[Array]) -> BadInputError:
        shapes = ", ".join(str(list(each.shape)) for each in given)
        return BadInputError(f"{self._path}: not a DFM that can be used (it gives {shapes}): {_EXPORT_AGAIN}")


def _planes(name: str, channels: int, side_px: int) -> Tensor:
    return Tensor(name, (None, channels, side_px, side_px), np.dtype(np.float32))


def _shapes(count: int, side_px: int) -> list[tuple[int, ...]]:
    """Of the outputs."""
    return [(count, side_px, side_px, channels) for channels in _CHANNELS]
