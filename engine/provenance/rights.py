"""Whether a model may be used: by a consent that holds, or by a statement of whoever uses it.

A statement is asked for once a model. It is kept, by the model's sha256, in the user's configuration folder,
and goes into the plan, the report and the credentials of every film that rests on it.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ..errors import RefusedError
from .configuration import configuration_folder
from .consent import Consent


def check_consent(model: Path, identity: str, consent: Consent) -> None:
    """Refuses a consent that has ended.

    Raises:
        RefusedError: it has.
    """
    if consent.has_expired():
        raise RefusedError(
            f"{model}: the consent to draw {identity} ended on {consent.expires} ({consent.reference}): "
            "ask for another one, and export the model again with it"
        )


def rests_on_statement(
    model: Path, identity: str, sha256: str, consent: Consent | None, *, stated: bool
) -> bool:
    """Refuses a model that nobody answers for.

    Args:
        model: its file, for messages.
        identity: whom it draws.
        sha256: of the file.
        consent: that it carries.
        stated: the user says now that they have the rights.

    Returns:
        False where it has a consent; True where the user has said so, now or before.

    Raises:
        RefusedError: the consent has ended, or there is none and no statement.
    """
    if consent is not None:
        check_consent(model, identity, consent)
        return False
    kept = configuration_folder() / "rights" / f"{sha256}.json"
    if stated:
        # Where nothing can be kept, it is asked for again next time.
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept.write_text(json.dumps({"identity": identity}) + "\n", encoding="utf-8")
    elif not kept.exists():
        raise RefusedError(
            f"{model}: holds no consent of the person it draws ({identity}): if you have the right to draw "
            "them in this film, say so with --i-have-the-rights; it is asked once a model, and recorded"
        )
    return True
