"""The swapper's file, ours or a DFM, and what it says about its own use."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError, InputMissingError, OutOfMemoryError, UsageError, unreadable
from ..face.align import LANDMARK_COUNT, LANDMARK_SCHEME
from ..face.seen import KEPT_POINTS
from ..file_state import FileState, changed, file_sha256, file_state
from ..provenance.consent import Consent
from ..runtime.base import Runner, Tensor
from ..runtime.onnx import OnnxRunner
from ..runtime.onnx_file import read_metadata
from .dfm import DfmRunner, is_dfm, read_signature
from .whole_face import FACE_HEIGHT, WHOLE_FACE, WHOLE_FACE_COVERAGE

METADATA_KEY = "crossface"
FORMAT_VERSION = 1
# Networks run in two shapes, of a whole batch and of this many faces; both give a face the same bits.
SMALL_BATCH = 4


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
        consent: of the person drawn; None where none was given.
        mask: what the mask means.
        precision: what the network computes in: ``fp32``, ``fp16`` or ``int8``.
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
    consent: Consent | None = None
    landmarks: str = LANDMARK_SCHEME
    mask: str = "share of the face, 0..1"
    precision: str = "fp32"
    format_version: int = FORMAT_VERSION

    @property
    def face_px(self) -> float:
        """Height of the mean face in what is drawn."""
        # DFMs measure in units of another mean face.
        unit = FACE_HEIGHT if self.template is WHOLE_FACE else 1.0
        return self.output_px * unit / self.coverage

    def to_json(self) -> str:
        fields = asdict(self)
        if self.precision == "fp32":
            # As in files from before there was a choice.
            del fields["precision"]
        fields["consent"] = None if self.consent is None else self.consent.to_fields()
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
                consent=None if fields["consent"] is None else Consent.from_fields(fields["consent"]),
                landmarks=str(fields["landmarks"]),
                mask=str(fields["mask"]),
                precision=str(fields.get("precision", "fp32")),
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


class Drawing(NamedTuple):
    """What a network drew.

    Attributes:
        faces: float32 ``[N, 3, R, R]`` in 0..1.
        masks: float32 ``[N, R, R]`` in 0..1.
        finite: bool ``[N]``: every value of a face and its mask is a number.
        redrawn: bool ``[N]``: it is so only since the face was drawn once more.
    """

    faces: NDArray[np.float32]
    masks: NDArray[np.float32]
    finite: NDArray[np.bool_]
    redrawn: NDArray[np.bool_]


class Swapper:
    """A person's network, ready to draw: faces in, faces and masks out.

    Args:
        path: an ONNX file of `crossface export`, or a DFM.
        batch: faces a run; fewer are padded, so that results do not depend on how work is split.
        threads: 0 for one a core.
        morph: of a DFM that takes one; see `DfmRunner`.

    Attributes:
        metadata: how the model must be used.
        sha256: of the file.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: no ONNX, neither of Crossface nor a DFM, or a graph that is not what its metadata says.
        OutOfMemoryError: no memory for its weights.
    """

    def __init__(self, path: Path, *, batch: int = 16, threads: int = 0, morph: float | None = None) -> None:
        self.path = path
        self.batch = batch
        self._threads = threads
        self._runner: DfmRunner | OnnxRunner
        if is_dfm(path):
            self._runner = DfmRunner(path, threads=threads, morph=morph)
            self.metadata = _dfm_metadata(path, self._runner.size_px, self._runner.output_px)
        else:
            self._runner = OnnxRunner(path, threads=threads)
            self.metadata = _metadata(path, self._runner.metadata.get(METADATA_KEY))
        self._state = self._runner.state
        self.sha256 = file_sha256(path, self._state)
        check_graph(path, self.metadata, (self._runner.input, *self._runner.outputs))

    def swap(self, faces: NDArray[np.float32]) -> Drawing:
        """Draws the model's person with the expressions of ``faces``.

        Args:
            faces: float32 ``[N, 3, S, S]``, RGB, aligned by the model's template; taken as 0..1, which is
                all that the network was trained on.

        Returns:
            What is no number is drawn once more, each such face alone and in float32 where the file allows
            it; where that does not help it comes through, and the caller decides.

        Raises:
            OutOfMemoryError: no memory for a batch.
            BadInputError: the file was changed since it was loaded.
        """
        try:
            swapped = self._swapped(faces)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"{self.path}: no memory for {len(faces)} faces: use a smaller --batch, or fewer --workers"
            ) from error
        if self._runner.state != self._state:
            raise changed(self.path)
        return swapped

    def _swapped(self, faces: NDArray[np.float32]) -> Drawing:
        output_px = self.metadata.output_px
        drawn = np.empty((len(faces), 3, output_px, output_px), np.float32)
        masks = np.empty((len(faces), output_px, output_px), np.float32)
        for start in range(0, len(faces), self.batch):
            part = slice(start, start + self.batch)
            drawn[part], masks[part] = self._run(self._runner, faces[part])
        finite = _finite(drawn, masks)
        redrawn = np.zeros(len(faces), np.bool_)
        for n in np.flatnonzero(~finite):
            alone = self._run(self._careful, faces[n : n + 1])
            if _finite(*alone).all():
                drawn[n], masks[n] = alone[0][0], alone[1][0]
                finite[n] = redrawn[n] = True
        return Drawing(drawn, masks, finite, redrawn)

    def _run(
        self, runner: Runner, faces: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """At most a batch of faces, padded to one, or to a small one: the first faces must not wait."""
        size = self.batch if len(faces) > SMALL_BATCH else min(self.batch, SMALL_BATCH)
        padded = np.zeros((size, *faces.shape[1:]), runner.input.dtype)
        np.clip(faces, 0.0, 1.0, out=padded[: len(faces)], casting="same_kind")
        swapped, mask = runner.run(padded)
        count = len(faces)
        return swapped[:count].astype(np.float32, copy=False), mask[:count, 0].astype(np.float32, copy=False)

    @functools.cached_property
    def _careful(self) -> Runner:
        """Runs a network in bytes in float32; float32 has nothing better, and float16 is cast anyway."""
        if self.metadata.precision != "int8":
            return self._runner
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputMissingError(f"{self.path}: is gone while it was in use: put it back") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise changed(self.path)
        return OnnxRunner(content, name=str(self.path), threads=self._threads, exact=True)


def check_graph(path: Path, metadata: ModelMetadata, tensors: Sequence[Tensor]) -> None:
    """Whether a network, whatever runs it, is what its metadata says.

    Args:
        path: the model's file.
        metadata: of it.
        tensors: the network's input and outputs, in the order of the file.

    Raises:
        BadInputError: other names, shapes or types of numbers.
    """
    size, output = metadata.size_px, metadata.output_px
    dtype = np.float16 if metadata.precision == "fp16" else np.float32
    wanted = [("face", (3, size, size)), ("swapped", (3, output, output)), ("mask", (1, output, output))]
    found = [(tensor.name, tensor.shape[1:]) for tensor in tensors]
    if found != wanted or any(tensor.dtype != dtype for tensor in tensors):
        raise BadInputError(f"{path}: its graph is not what its metadata says: export the model again")


@dataclass(frozen=True)
class ModelFile:
    """What a model says of itself.

    Attributes:
        path: of its file.
        metadata: how it must be used.
        state: of the file when it was read.
    """

    path: Path
    metadata: ModelMetadata
    state: FileState


def read_model(path: Path) -> ModelFile:
    """Reads what a model says of itself; its network is not loaded.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: no ONNX, or neither of Crossface nor a DFM.
    """
    if is_dfm(path):
        signature = read_signature(path)
        metadata = _dfm_metadata(path, signature.size_px, signature.output_px or signature.size_px)
        return ModelFile(path, metadata, signature.state)
    try:
        with path.open("rb") as file:
            text, state = read_metadata(file).get(METADATA_KEY), file_state(file.fileno())
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise BadInputError(f"{path}: not an ONNX network ({error})") from error
    return ModelFile(path, _metadata(path, text), state)


def _metadata(path: Path, text: str | None) -> ModelMetadata:
    if text is None:
        raise BadInputError(
            f"{path}: not a Crossface model: make one with crossface export, or if it is a DFM name it .dfm"
        )
    try:
        return ModelMetadata.from_json(text)
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from error


def _dfm_metadata(path: Path, size_px: int, output_px: int) -> ModelMetadata:
    """What is known of a DFM: all but its size and the way that faces are aligned for it is its name."""
    return ModelMetadata(
        template=WHOLE_FACE,
        coverage=WHOLE_FACE_COVERAGE,
        size_px=size_px,
        output_px=output_px,
        identity=path.stem,
        architecture="dfm",
        steps=0,
        data_hash="",
        software="unknown",
    )


def check_morph(models: Collection[Path], morph: float | None) -> None:
    """Raises UsageError for a morph factor that none of the models takes."""
    if morph is not None and not any(is_dfm(path) and read_signature(path).morph for path in models):
        raise UsageError(f"{', '.join(map(str, models))}: takes no morph factor: leave --morph out")


# By whom they are for: a track's number or a person's name as text, None for all others.
Swappers = Mapping[str | None, Swapper]


def load_swappers(
    models: Mapping[str | None, Path], *, batch: int, threads: int = 0, morph: float | None = None
) -> dict[str | None, Swapper]:
    """Networks that align faces by landmarks that an analysis keeps.

    Raises:
        InputMissingError, BadInputError, OutOfMemoryError: as `Swapper`.
        UsageError: a morph factor that none of them takes.
    """
    check_morph(list(models.values()), morph)
    swappers = {
        whom: Swapper(path, batch=batch, threads=threads, morph=morph) for whom, path in models.items()
    }
    for swapper in swappers.values():
        check_landmarks(swapper.path, swapper.metadata)
    return swappers


def check_landmarks(path: Path, metadata: ModelMetadata) -> None:
    """Raises BadInputError where a model is aligned by landmarks that an analysis does not keep."""
    unknown = set(metadata.template) - set(KEPT_POINTS)
    if unknown:
        raise BadInputError(
            f"{path}: is aligned by landmarks that an analysis does not keep ({min(unknown)}): "
            "update Crossface, or export the model again"
        )


def _finite(drawn: NDArray[np.float32], masks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which faces are numbers throughout: bool ``[N]``."""
    # A sum is one pass without a picture of booleans, and keeps what is no number.
    finite: NDArray[np.bool_] = np.isfinite(drawn.sum(axis=(1, 2, 3)) + masks.sum(axis=(1, 2)))
    for n in np.flatnonzero(~finite):
        # Sums of numbers can be too large.
        finite[n] = np.isfinite(drawn[n]).all() and np.isfinite(masks[n]).all()
    return finite
