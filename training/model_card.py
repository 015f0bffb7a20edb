"""What a model in training is: its network, its people and their faces; written once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..engine.errors import BadInputError, InputMissingError, UsageError
from ..engine.face.align import TEMPLATE
from ..engine.part_file import PartFile
from ..engine.provenance.consent import Consent
from .faceset import Faceset
from .models import Person
from .presets import Preset

FORMAT_VERSION = 1
MODEL_NAME = "model.json"


@dataclass(frozen=True)
class ModelCard:
    """What ``model.json`` says.

    Attributes:
        preset: the network, layer by layer, so that a file outlives a change of the presets.
        identity_a, identity_b: names of the two people.
        data_hash_a, data_hash_b: of the facesets.
        template: landmark index to its place, in face heights from the crop's centre.
        software: what started the training.
        holds_out: whether a few faces of each set are kept from training.
        faces_a, faces_b: how many the facesets hold; None where a model was begun before that was noted.
        base: hash of the data that its first weights had learnt from; None where they were random.
        consent_a, consent_b: of the two people; None where none was given.
    """

    preset: Preset
    identity_a: str
    identity_b: str
    data_hash_a: str
    data_hash_b: str
    template: dict[int, tuple[float, float]]
    software: str
    # Models from before there was a choice trained on all.
    holds_out: bool = False
    faces_a: int | None = None
    faces_b: int | None = None
    base: str | None = None
    consent_a: Consent | None = None
    consent_b: Consent | None = None

    @staticmethod
    def new(
        preset: Preset,
        identities: tuple[str, str],
        facesets: tuple[Faceset, Faceset],
        *,
        consents: tuple[Consent | None, Consent | None] = (None, None),
        holds_out: bool = False,
        base: ModelCard | None = None,
    ) -> ModelCard:
        """Raises: UsageError: a base of another network."""
        a, b = facesets
        if base is not None and base.preset != preset:
            raise UsageError(
                f"the base is a {base.preset.name}: give --preset {base.preset.name}, or another --base"
            )
        return ModelCard(
            preset,
            *identities,
            a.data_hash,
            b.data_hash,
            template=dict(TEMPLATE),
            software=f"crossface {version('crossface')}",
            holds_out=holds_out,
            faces_a=len(a.records),
            faces_b=len(b.records),
            base=None if base is None else base.data_hash,
            consent_a=consents[0],
            consent_b=consents[1],
        )

    @property
    def data_hash(self) -> str:
        """sha256 over both facesets' hashes."""
        return hashlib.sha256(f"{self.data_hash_a} {self.data_hash_b}".encode()).hexdigest()

    def identity(self, person: Person) -> str:
        return self.identity_a if person == "a" else self.identity_b

    def consent(self, person: Person) -> Consent | None:
        return self.consent_a if person == "a" else self.consent_b

    def write(self, model: Path) -> None:
        """Raises: OutputError."""
        fields = {"model": FORMAT_VERSION, **asdict(self)}
        for name, consent in (("consent_a", self.consent_a), ("consent_b", self.consent_b)):
            fields[name] = None if consent is None else consent.to_fields()
        with PartFile(model / MODEL_NAME, overwrite=True) as part:
            part.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def read(model: Path) -> ModelCard:
        """Raises: InputMissingError, BadInputError."""
        path = model / MODEL_NAME
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if fields.pop("model") != FORMAT_VERSION:
                raise BadInputError(f"{path}: made by another version of Crossface: train a new model")
            preset: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in fields.pop("preset").items()
            }
            template = {int(index): (float(x), float(y)) for index, (x, y) in fields.pop("template").items()}
            for name in ("consent_a", "consent_b"):
                if fields.get(name) is not None:
                    fields[name] = Consent.from_fields(fields[name])
            return ModelCard(preset=Preset(**preset), template=template, **fields)
        except OSError as error:
            raise InputMissingError(
                f"{path}: cannot be read ({error.strerror}): give a folder that crossface train made"
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"{path}: damaged ({error}): restore it or train a new model") from error


def check_same(card: ModelCard, wanted: ModelCard, model: Path) -> None:
    """A model goes on with the network, the faces and the consents that it was started with.

    Raises:
        UsageError: it does not; names what differs.
    """
    if card.preset.name != wanted.preset.name:
        raise UsageError(
            f"{model}: was started with --preset {card.preset.name}: give that, or another folder"
        )
    for person, old, new in (
        ("first", card.data_hash_a, wanted.data_hash_a),
        ("second", card.data_hash_b, wanted.data_hash_b),
    ):
        if old != new:
            raise UsageError(
                f"{model}: was started with another {person} faceset: give that one, or another folder"
            )
    for kept, given in ((card.consent_a, wanted.consent_a), (card.consent_b, wanted.consent_b)):
        if given is not None and given != kept:
            raise UsageError(f"{model}: was started with another consent: give a new one to crossface export")
