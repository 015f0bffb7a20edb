"""Our ONNX: the swapper's file, and what it says about its own use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ..errors import BadInputError
from ..face.align import LANDMARK_COUNT, LANDMARK_SCHEME

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
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError(f"its metadata is damaged ({error}): export the model again") from error
        sensible = (
            metadata.landmarks == LANDMARK_SCHEME
            and len(template) >= 2
            and all(0 <= index < LANDMARK_COUNT for index in template)
            and 0.5 < metadata.coverage < 8
            and 16 <= metadata.size_px <= 4096
            and 16 <= metadata.output_px <= 4096
        )
        if not sensible:
            raise BadInputError("its metadata asks for what this version cannot do: update Crossface")
        return metadata
