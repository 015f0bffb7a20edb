"""The consent of the person that a model draws; it travels in the model's metadata.

A record is a TOML file::

    who = "Ben Example"                     # who agreed
    by = "M. Roe, his agent"                # who gave it in writing, where that is somebody else
    scope = ["The Long Film", "trailers"]   # what it covers
    expires = 2027-12-31                    # the last day on which it holds
    reference = "release form 2026-117"     # by what the form is found

All but ``reference`` may be left out. Its short form is the reference alone.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadInputError, UsageError, unreadable

_FIELDS = ("who", "by", "scope", "expires", "reference")


@dataclass(frozen=True)
class Consent:
    """What its user wrote, and nothing else.

    Attributes:
        reference: by what the form is found.
        who: has agreed.
        by: who gave it in writing.
        scope: what it covers, one thing an entry.
        expires: the last day on which it holds; None where it does not end.
    """

    reference: str
    who: str | None = None
    by: str | None = None
    scope: tuple[str, ...] = ()
    expires: datetime.date | None = None

    def has_expired(self, today: datetime.date | None = None) -> bool:
        """Whether its last day is over.

        Args:
            today: the machine's date where None.
        """
        return self.expires is not None and (today or datetime.date.today()) > self.expires

    def __str__(self) -> str:
        """On one line, for people."""
        parts = [self.reference]
        if self.who is not None:
            parts.append(f"of {self.who}")
        if self.by is not None:
            parts.append(f"given by {self.by}")
        if self.scope:
            parts.append(f"for {', '.join(self.scope)}")
        if self.expires is not None:
            parts.append(f"until {self.expires}")
        return ", ".join(parts)

    def to_fields(self) -> dict[str, Any]:
        """As JSON takes it; only what was written."""
        fields = {
            "who": self.who,
            "by": self.by,
            "scope": list(self.scope),
            "expires": None if self.expires is None else self.expires.isoformat(),
            "reference": self.reference,
        }
        return {name: value for name, value in fields.items() if value}

    @staticmethod
    def from_fields(fields: object) -> Consent:
        """From JSON or TOML; a text alone is the reference, as models of earlier versions have it.

        Raises:
            ValueError: what is wrong, in a few words.
        """
        if isinstance(fields, str):
            fields = {"reference": fields}
        if not isinstance(fields, Mapping):
            raise ValueError("is no record")
        unknown = sorted(set(map(str, fields)) - set(_FIELDS))
        if unknown:
            raise ValueError(f"has no field {', '.join(unknown)}; there are {', '.join(_FIELDS)}")
        reference = _text(fields, "reference")
        if reference is None:
            raise ValueError("lacks a reference: by what is the form found?")
        scope = fields.get("scope", [])
        scope = [scope] if isinstance(scope, str) else scope
        if not isinstance(scope, (list, tuple)) or not all(isinstance(each, str) for each in scope):
            raise ValueError("scope is a text or a list of texts")
        expires = fields.get("expires")
        if isinstance(expires, str):
            expires = datetime.date.fromisoformat(expires)
        # A moment is a date too, for Python.
        if isinstance(expires, datetime.datetime) or not isinstance(expires, (datetime.date, type(None))):
            raise ValueError("expires is a date, such as 2027-12-31")
        return Consent(reference, _text(fields, "who"), _text(fields, "by"), tuple(scope), expires)


def read_consent(text: str) -> Consent:
    """A consent as a command line gives it: the path of a TOML file, or the reference alone.

    Raises:
        UsageError: an empty text.
        InputMissingError: no such file, or not readable.
        BadInputError: no record.
    """
    if Path(text).suffix.lower() != ".toml":
        if not text.strip():
            raise UsageError("an empty consent: give a TOML file, or the reference of the form")
        return Consent(text.strip())
    try:
        with open(text, "rb") as file:
            return Consent.from_fields(tomllib.load(file))
    except OSError as error:
        raise unreadable(text, error) from error
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{text}: no consent record ({error}): see docs/responsible-use.md") from error


def _text(fields: Mapping[Any, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is a text")
    return value.strip()
