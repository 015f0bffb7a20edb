"""``crossface verify``: what a file says of itself, and whether that is true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from ..options import PATH
from .mark.find import FoundMark
from .verify import Credentials, State, Verification, verify

_SAYS: dict[State, str] = {
    "trusted": "valid, and the signer is one that you trust",
    "valid": "valid: not changed since it was signed",
    "doubtful": "the certificate of the signer does not hold",
    "tampered": "TAMPERED: changed since it was signed",
    "unchecked": "there are some, which cannot be checked here",
    "absent": "none",
}


@click.command("verify")
@click.argument("file", type=PATH)
@click.option("--trust", type=PATH, metavar="PEM", help="Root certificates of signers that you trust.")
@click.option("--quick", is_flag=True, help="Leave the imperceptible mark: no picture is decoded.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def verify_command(file: Path, trust: Path | None, quick: bool, as_json: bool) -> None:
    """Say whether FILE, a film or an image sequence, was made with a swapped face, and changed since.

    Exits with 0 for a file that says so and was not changed, 1 where nothing is said, 3 where it was changed
    after it was signed, 4 where it says so and nothing shows whether it was changed, 5 where only the
    imperceptible mark of a face says so.
    """
    found = verify(file, anchors=trust, look_at_faces=not quick)
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        for line in _lines(found):
            click.echo(line)
    raise click.exceptions.Exit(found.exit_code)


def _lines(found: Verification) -> Iterator[str]:
    yield f"{found.path}: {found.verdict}"
    yield f"  credentials: {_credentials(found.credentials)}"
    manifests = found.credentials.manifests
    if manifests is not None:
        told = manifests.to_json()
        self_signed = ", the identity of one machine: nobody vouches for it" if told["self_signed"] else ""
        yield f"  signer: {told['signer']}{self_signed}"
        yield f"  software: {told['software']}"
        if "frames_changed" in told:
            yield f"  faces replaced in {told['frames_changed']} of {told['frames']} frames"
        for model in told.get("models", ()):
            leave = ", rights stated by the user" if model.get("rights_stated_by_user") else ""
            leave = f", consent {model['consent']}" if "consent" in model else leave
            yield f"  drawn: {model.get('identity')}, model {str(model.get('sha256'))[:16]}{leave}"
        if manifests.carried:
            yield f"  carried on: {manifests.carried} manifests of what it was made from"
    for problem in found.credentials.problems:
        yield f"  problem: {problem}"
    yield f"  words: {found.words or 'none'}"
    yield f"  imperceptible mark: {_mark(found.mark)}"


def _mark(mark: FoundMark | None) -> str:
    if mark is None:
        return "not looked for"
    if mark.state == "unchecked":
        return f"not looked for: {mark.problem}"
    seen = f"{mark.faces} faces in {mark.frames} frames"
    if mark.payload is None:
        return f"none found in {seen}"
    return f"of job {mark.payload}, likeness {mark.likeness:.2f}, {seen}"


def _credentials(credentials: Credentials) -> str:
    where = "" if credentials.where is None else f" ({credentials.where})"
    return f"{_SAYS[credentials.state]}{where}"
