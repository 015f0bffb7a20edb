"""What C2PA's reader says of the credentials in a file, and what of it matters here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .claim import OWN, UNHASHED
from .identity import SELF_SIGNED

# IPTC's words for pictures that a trained model has made, or had a hand in.
_GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")


@dataclass(frozen=True)
class Manifests:
    """A manifest store, whoever wrote it.

    Attributes:
        found: as c2pa's reader gives it, as JSON.
    """

    found: Mapping[str, Any]

    @property
    def active(self) -> Mapping[str, Any]:
        """The manifest of the file itself; the others are of what it was made from."""
        active: Mapping[str, Any] = self._all.get(self.found.get("active_manifest", ""), {})
        return active

    @property
    def signer(self) -> str | None:
        """By the certificate, which nobody may vouch for."""
        issuer = self.active.get("signature_info", {}).get("issuer")
        return None if issuer is None else str(issuer)

    @property
    def generated(self) -> bool:
        """Whether it, or what it was made from, says that a trained model drew something in it."""
        kinds = (
            action.get("digitalSourceType", "") for each in self._all.values() for action in _actions(each)
        )
        return any(str(kind).rpartition("/")[2] in _GENERATED for kind in kinds)

    @property
    def carried(self) -> int:
        """Manifests of what it was made from."""
        return max(0, len(self._all) - 1)

    @property
    def unhashed_sha256(self) -> str | None:
        """See `unhashed`; None where the manifest does not tell."""
        for assertion in self.active.get("assertions", ()):
            if assertion.get("label") == UNHASHED:
                return str(assertion.get("data", {}).get("sha256"))
        return None

    @cached_property
    def failures(self) -> dict[str, str]:
        """What is wrong with the file itself: codes of C2PA, with an explanation."""
        results = self.found.get("validation_results", {}).get("activeManifest", {}).get("failure", ())
        statuses = [*results, *self.found.get("validation_status", ())]
        own = self.found.get("active_manifest", "")
        return {
            str(status.get("code")): str(status.get("explanation", ""))
            for status in statuses
            # Nobody vouches for most signers, which is no fault of the file.
            if status.get("code") != "signingCredential.untrusted" and own in str(status.get("url", own))
        }

    def to_json(self) -> dict[str, Any]:
        """The parts that matter here."""
        generator = self.active.get("claim_generator_info") or [{}]
        conversion: dict[str, Any] = {}
        for action in _actions(self.active):
            parameters = action.get("parameters", {})
            conversion |= {
                key.removeprefix(OWN): value for key, value in parameters.items() if key.startswith(OWN)
            }
        return {
            "signer": self.signer,
            "self_signed": self.signer == SELF_SIGNED,
            "software": " ".join(str(generator[0].get(key, "")) for key in ("name", "version")).strip(),
            "actions": [str(action.get("action")) for action in _actions(self.active)],
            "generated": self.generated,
            "carried": self.carried,
            **conversion,
        }

    @property
    def _all(self) -> Mapping[str, Any]:
        manifests: Mapping[str, Any] = self.found.get("manifests", {})
        return manifests


def _actions(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for assertion in manifest.get("assertions", ()):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            yield from assertion.get("data", {}).get("actions", ())
