"""Our ONNX: the swapper's file, and what it says about its own use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, InputMissingError
from ..face.align import LANDMARK_COUNT, LANDMARK_SCHEME
from ..runtime.onnx import OnnxRunner

METADATA_KEY = "crossface"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ModelMetadata:
    """How a swapper must be used, and where it comes from; one JSON object in the ONNX file.

    Attributes:
        landmarks: scheme of the template's indices.
        template: landmark index to its place, in face heights from the crop's centre.
        coverage: side of the crop over the height of the mean face.
        size_px: side S of the input ``face`` ``[N, 3, S, S]``, RGB 0..1.
        output_px: side R of ``swapped`` ``[N, 3, R, R]`` and ``mask`` ``[N, 1, R, R]``, 0..1.
        identity: name of the person that it draws.
        architecture: name of the training preset.
        steps: training steps.
        data_hash: sha256 over the facesets' hashes.
        software: what trained it.
        consent: reference to the consent of the person drawn; None where none was given.
        mask: what the mask means.
        format_version: of this object.
    """

    template: Mapping[int, tuple[float, float]]
    coverage: float
    size_px: int
    output_px: int
    identity: str
    architecture: str
    steps: int
    data_hash: str
    software: str
    consent: str | None = None
    landmarks: str = LANDMARK_SCHEME
    mask: str = "share of the face, 0..1"
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        fields = asdict(self)
        fields["template"] = {str(index): list(place) for index, place in self.template.items()}
        return json.dumps(fields, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> ModelMetadata:
        """Parse and check.

        Raises:
            BadInputError: not ours, of a later format, or with values that make no sense.
        """
        try:
            fields = json.loads(text)
            if fields["format_version"] > FORMAT_VERSION:
                raise BadInputError(
                    f"format {fields['format_version']} is of a later Crossface: update Crossface"
                )
            template = {int(index): (float(x), float(y)) for index, (x, y) in fields["template"].items()}
            metadata = ModelMetadata(
                template=template,
                coverage=float(fields["coverage"]),
                size_px=int(fields["size_px"]),
                output_px=int(fields["output_px"]),
                identity=str(fields["identity"]),
                architecture=str(fields["architecture"]),
                steps=int(fields["steps"]),
                data_hash=str(fields["data_hash"]),
                software=str(fields["software"]),
                consent=None if fields["consent"] is None else str(fields["consent"]),
                landmarks=str(fields["landmarks"]),
                mask=str(fields["mask"]),
                format_version=int(fields["format_version"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise BadInputError(f"its metadata is damaged ({error}): export the model again") from error
        places = list(template.values())
        sensible = (
            metadata.landmarks == LANDMARK_SCHEME
            and all(0 <= index < LANDMARK_COUNT for index in template)
            and len(set(places)) >= 2
            and bool(np.isfinite(places).all())
            and 0.5 < metadata.coverage < 8
            and 16 <= metadata.size_px <= 4096
            and 16 <= metadata.output_px <= 4096
        )
        if not sensible:
            raise BadInputError("its metadata asks for what this version cannot do: update Crossface")
        return metadata


class Swapper:
    """A person's network, ready to draw: faces in, faces and masks out.

    Args:
        path: an ONNX file of `crossface export`.
        batch: faces a run; fewer are padded, so that results do not depend on how work is split.
        threads: 0 for one a core.

    Attributes:
        metadata: how the model must be used.
        sha256: of the file.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: no ONNX, not of Crossface, or a graph that is not what its metadata says.
    """

    def __init__(self, path: Path, *, batch: int = 8, threads: int = 0) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputMissingError(f"{path}: cannot be read ({error.strerror}): check the path") from error
        self.path = path
        self.batch = batch
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._runner = OnnxRunner(content, name=str(path), threads=threads)
        text = self._runner.metadata.get(METADATA_KEY)
        if text is None:
            raise BadInputError(f"{path}: not a Crossface model: make one with crossface export")
        try:
            self.metadata = ModelMetadata.from_json(text)
        except BadInputError as error:
            raise BadInputError(f"{path}: {error}") from error
        self._check_graph()

    def swap(self, faces: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Draws the model's person with the expressions of ``faces``.

        Args:
            faces: float32 ``[N, 3, S, S]``, RGB, aligned by the model's template; taken as 0..1, which is
                all that the network was trained on.

        Returns:
            Faces float32 ``[N, 3, R, R]`` in 0..1 and masks float32 ``[N, R, R]`` in 0..1. A network's NaN
            comes through; the caller decides.
        """
        drawn, masks = [], []
        for start in range(0, len(faces), self.batch):
            part = faces[start : start + self.batch]
            padded = np.zeros((self.batch, *faces.shape[1:]), self._runner.input.dtype)
            padded[: len(part)] = np.clip(part, 0.0, 1.0)
            swapped, mask = self._runner.run(padded)
            drawn.append(swapped[: len(part)].astype(np.float32, copy=False))
            masks.append(mask[: len(part), 0].astype(np.float32, copy=False))
        return np.concatenate(drawn), np.concatenate(masks)

    def _check_graph(self) -> None:
        size, output = self.metadata.size_px, self.metadata.output_px
        shapes = {tensor.name: tensor.shape[1:] for tensor in (self._runner.input, *self._runner.outputs)}
        wanted = {
            "face": (3, size, size),
            "swapped": (3, output, output),
            "mask": (1, output, output),
        }
        if shapes != wanted or [tensor.name for tensor in self._runner.outputs] != ["swapped", "mask"]:
            raise BadInputError(
                f"{self.path}: its graph is not what its metadata says: export the model again"
            )
