"""Tells of a film or an image sequence whether it says that it was made, and whether it was changed since.

Nothing goes over the network. Without the extra ``sign`` only the words can be read, and that there are
credentials.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import BadInputError, ConfigurationError, InputMissingError, unreadable
from ..sequence.name import SequenceName, find_sequence
from ..video.reading.boxes import mp4_shape
from ..video.source import check_path
from .c2pa_file import EMBEDDING, CredentialsError, found_sidecar, mime_of, read_credentials
from .credentials import hash_list_of, sha256_of
from .manifest_store import Manifests
from .mark.find import FoundMark, find_mark
from .read_words import words_of_film, words_of_pictures
from .unhashed import holds_manifest, is_as_written, is_padding_clean, manifest_box, unhashed_sha256

State = Literal["trusted", "valid", "doubtful", "tampered", "unchecked", "absent"]
Verdict = Literal["marked", "unmarked", "tampered", "unsigned", "carried"]

_EXIT_CODES: dict[Verdict, int] = {"marked": 0, "unmarked": 1, "tampered": 3, "unsigned": 4, "carried": 5}


@dataclass(frozen=True)
class Credentials:
    """What was found of content credentials.

    Attributes:
        state: "trusted", by a root that was given; "valid", for the file has not been changed since it was
            signed, by whomever; "doubtful", as the signer's certificate does not hold; "tampered";
            "unchecked", for the extra ``sign`` is missing; "absent".
        where: "in the file", or the sidecar's name.
        manifests: what they say; None where they could not be read.
        problems: one line each.
    """

    state: State
    where: str | None = None
    manifests: Manifests | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verification:
    """What a file says of itself.

    Attributes:
        path: of the film, or the pattern of a sequence.
        credentials: signed.
        words: in the container's or the pictures' comment, as far as they are ours; anybody can write or
            take away those.
        mark: the imperceptible one, which the faces themselves carry; None where it was not looked for.
    """

    path: str
    credentials: Credentials
    words: str | None
    mark: FoundMark | None = None

    @property
    def verdict(self) -> Verdict:
        """All in one word.

        "marked": it says that it was made, and has not been changed since. "unmarked": it says nothing of the
        kind. "tampered": it was changed after it was signed. "unsigned": it says so, or has credentials, but
        nothing shows whether it was changed. "carried": nothing that can be taken off says so any more, or
        what is signed says otherwise, but a face carries the imperceptible mark.
        """
        state, manifests = self.credentials.state, self.credentials.manifests
        generated = self.words is not None or (manifests is not None and manifests.generated)
        carried = self.mark is not None and self.mark.state == "found"
        if state == "tampered":
            return "tampered"
        if generated:
            return "marked" if state in ("trusted", "valid") else "unsigned"
        if carried:
            return "carried"
        return "unsigned" if state == "unchecked" else "unmarked"

    @property
    def exit_code(self) -> int:
        """Of the command: 0 marked, 1 unmarked, 3 tampered, 4 unsigned, 5 carried."""
        return _EXIT_CODES[self.verdict]

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        found = self.credentials
        return {
            "file": self.path,
            "verdict": self.verdict,
            "credentials": {
                "state": found.state,
                "where": found.where,
                **({} if found.manifests is None else found.manifests.to_json()),
                "problems": list(found.problems),
            },
            "words": self.words,
            "imperceptible_mark": "not looked for" if self.mark is None else self.mark.to_json(),
        }


def verify(
    path: Path | str, *, anchors: Path | str | None = None, look_at_faces: bool = True
) -> Verification:
    """Looks for the marks of a film or an image sequence.

    Args:
        path: of the film, of one picture, or the pattern of a sequence.
        anchors: PEM of the root certificates that you trust.
        look_at_faces: for the imperceptible mark; that decodes some seconds of the film.

    Raises:
        InputMissingError: no such file, or not readable.
        BadInputError: neither a film nor pictures.
    """
    path = Path(path)
    trusted = None if anchors is None else _text(Path(anchors))
    name = find_sequence(path)
    if name is not None:
        pictures = [name.path(number) for number in name.present()]
        if not pictures:
            raise InputMissingError(f"{name}: no picture of this name: check the pattern and its folder")
        mark = find_mark(path) if look_at_faces else None
        return Verification(str(name), _of_sequence(name, trusted), words_of_pictures(pictures), mark)
    check_path(path)
    credentials = _of_film(path, trusted)
    try:
        words = words_of_film(path)
    except BadInputError:
        if credentials.state in ("absent", "unchecked"):
            raise
        words = None
    return Verification(str(path), credentials, words, find_mark(path) if look_at_faces else None)


def _of_film(path: Path, anchors: str | None) -> Credentials:
    is_mp4 = mp4_shape(path) is not None
    mime = "video/mp4" if is_mp4 and path.suffix.lower() not in EMBEDDING else mime_of(path)
    box = manifest_box(path) if is_mp4 else None
    inside = box is not None or holds_manifest(path)
    sidecar = None if inside else found_sidecar(path)
    if not inside and sidecar is None:
        return Credentials("absent")
    found = _checked(path, mime, sidecar, anchors)
    said = found.manifests and found.manifests.unhashed_sha256
    if said is not None and (said != unhashed_sha256(path) or not (box is None or is_as_written(box))):
        problem = "bytes that the signature leaves out, at the file's head or between its parts, were changed"
        return replace(found, state="tampered", problems=(*found.problems, problem))
    return found


def _of_sequence(name: SequenceName, anchors: str | None) -> Credentials:
    listed = hash_list_of(name)
    sidecar = found_sidecar(listed)
    if sidecar is None:
        return Credentials("absent")
    if not listed.is_file():
        return Credentials("tampered", sidecar.name, problems=(f"{listed.name} is missing",))
    found = _checked(listed, mime_of(listed), sidecar, anchors)
    if found.state in ("tampered", "unchecked"):
        return found
    problems = _changed(name, listed)
    if problems:
        return replace(found, state="tampered", problems=(*found.problems, *problems))
    return found


def _changed(name: SequenceName, listed: Path) -> list[str]:
    """What of a sequence is not as its list says."""
    try:
        files = json.loads(listed.read_text(encoding="utf-8"))["files"]
        wanted = {str(file): str(sha256) for file, sha256 in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"{listed.name} cannot be read ({error})"]
    there = {name.path(number).name: name.path(number) for number in name.present()}
    problems = [f"{file} is missing" for file in wanted if file not in there]
    problems += [f"{file} is not of what was signed" for file in there if file not in wanted]
    for file, path in there.items():
        if file in wanted and sha256_of(path) != wanted[file]:
            problems.append(f"{file} was changed")
    return problems


def _checked(file: Path, mime: str, sidecar: Path | None, anchors: str | None) -> Credentials:
    where = "in the file" if sidecar is None else sidecar.name
    try:
        answer = read_credentials(file, mime=mime, sidecar=sidecar, anchors=anchors)
    except CredentialsError as error:
        return Credentials("tampered", where, problems=(f"they cannot be read ({error})",))
    except ConfigurationError as error:
        return Credentials("unchecked", where, problems=(str(error),))
    manifests = Manifests(answer["found"])
    state: State = "tampered"
    if answer["state"] in ("Valid", "Trusted"):
        state = "trusted" if answer["state"] == "Trusted" else "valid"
    elif manifests.failures and all(code.startswith("signingCredential.") for code in manifests.failures):
        state = "doubtful"
    problems = [f"{code}: {text}" for code, text in manifests.failures.items()]
    if not is_padding_clean(manifest_box(file) or b"" if sidecar is None else sidecar.read_bytes()):
        state = "tampered"
        problems.append("something was written where the signature's place is filled up")
    return Credentials(state, where, manifests, tuple(problems))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise BadInputError(f"{path}: holds no certificates as PEM") from error
