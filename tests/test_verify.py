"""``crossface verify``: what it says of any file, and by which exit code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from make_clips import make_clip
from test_cli import Crossface, crossface  # noqa: F401
from test_convert import run
from test_credentials import claim, sign, small_film, verified

from crossface.engine import Signing, convert
from crossface.engine.provenance.credentials import hash_list_of
from crossface.engine.provenance.words import OPENING
from crossface.engine.sequence.name import find_sequence

WORDS = f"{OPENING} 0.1.0, identity nobody, model 0123456789abcdef"


def test_exit_codes_and_lines(tmp_path: Path, crossface: Crossface) -> None:  # noqa: F811
    plain = small_film(tmp_path / "plain.mp4")
    marked = sign(plain, tmp_path / "marked.mp4")
    tampered = tmp_path / "tampered.mp4"
    content = bytearray(marked.read_bytes())
    content[-1] ^= 128
    tampered.write_bytes(content)
    worded = make_clip(tmp_path / "worded.mp4", durations=(512,) * 4, metadata={"comment": f"ours\n{WORDS}"})
    states = {
        marked: ("marked", 0, "valid"),
        plain: ("unmarked", 1, "absent"),
        tampered: ("tampered", 3, "tampered"),
        worded: ("unsigned", 4, "absent"),
    }
    for film, (verdict, expected, state) in states.items():
        code, printed, errors = crossface("verify", film, "--json", "--quick")
        (line,) = printed
        told = json.loads(line)
        assert (code, errors, told["verdict"], told["credentials"]["state"]) == (expected, [], verdict, state)
        assert told["imperceptible_mark"] == "not looked for"
        assert told["words"] == (WORDS if film == worded else None)
    code, printed, _ = crossface("verify", marked)
    assert code == 0 and printed[0] == f"{marked}: marked"
    assert any("replaced in 3 of 4 frames" in line for line in printed)
    assert any("Ben" in line and "consent form 7" in line for line in printed)
    assert any("nobody vouches for it" in line for line in printed)


def test_what_is_no_film_is_bad_input(tmp_path: Path, crossface: Crossface) -> None:  # noqa: F811
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    assert crossface("verify", text)[0] == 65
    assert crossface("verify", tmp_path / "none.mp4")[0] == 66
    assert crossface("verify", tmp_path / "none.####.png")[0] == 66
    film = small_film(tmp_path / "film.mp4")
    assert crossface("verify", film, "--trust", tmp_path / "none.pem")[0] == 66


def test_without_the_extra_it_says_what_it_can(
    clips: Path,
    swapper: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crossface: Crossface,  # noqa: F811
) -> None:
    """And conversions are refused before any work, unless credentials are left out by name."""
    plain = small_film(tmp_path / "plain.mp4")
    marked, beside = sign(plain, tmp_path / "marked.mp4"), sign(plain, tmp_path / "beside.mkv")
    monkeypatch.setitem(sys.modules, "c2pa", None)
    for film in (marked, beside):
        found = verified(film)
        assert (found.credentials.state, found.exit_code) == ("unchecked", 4)
        assert "crossface[sign]" in found.credentials.problems[0]
    assert verified(plain).exit_code == 1
    out = tmp_path / "out"
    out.mkdir()
    arguments = ("convert", clips / "no_face.mp4", swapper, "-o", out / "out.mp4")
    code, _, errors = crossface(*arguments)
    assert code == 78 and "crossface[sign]" in errors[-1] and not list(out.iterdir())
    code, _, errors = crossface(*arguments, "--no-credentials", "")
    assert code == 2 and "reason" in errors[-1] and not list(out.iterdir())
    assert crossface(*arguments, "--no-credentials", "a test")[0] == 0


@pytest.mark.needs_vfx
def test_pictures_are_signed_by_a_list_of_their_hashes(
    clips: Path, analysed: Callable[[str], Path], swapper: Path, tmp_path: Path
) -> None:
    from crossface.engine.clip import ReadingSettings

    pattern = tmp_path / "swap.####.png"
    faces = analysed("single_face.mp4")
    reading = ReadingSettings(end="2")
    run(convert(clips / "single_face.mp4", swapper, pattern, faces=faces, reading=reading))
    name = find_sequence(pattern)
    assert name is not None
    listed = hash_list_of(name)
    pictures = sorted(tmp_path.glob("*.png"))
    assert len(pictures) == 3
    assert {path.name for path in tmp_path.iterdir()} == {
        *(path.name for path in pictures), "swap.png.hashes.json", "swap.png.hashes.json.c2pa"
    }  # fmt: skip
    found = verified(pattern)
    assert found.verdict == "marked" and found.words is not None and "nobody" in found.words
    assert found.to_json()["credentials"]["frames_changed"] == 3
    for file in (pictures[1], listed):
        before = file.read_bytes()
        changed = bytearray(before)
        changed[len(changed) // 2] ^= 1
        file.write_bytes(changed)
        assert verified(pattern).verdict == "tampered"
        file.write_bytes(before)
    moved = pictures[2].rename(tmp_path / "away")
    assert "is missing" in verified(pattern).credentials.problems[-1]
    moved.rename(pictures[2])
    shutil.copy(pictures[2], tmp_path / "swap.0009.png")
    assert verified(pattern).verdict == "tampered", "a picture was added"
    (tmp_path / "swap.0009.png").unlink()
    assert verified(pattern).verdict == "marked"
    # Left out by name: the words say why.
    (tmp_path / "plain").mkdir()
    plain = tmp_path / "plain" / "swap.####.png"
    unsigned = Signing(unsigned_because="signed by the archive")
    run(convert(clips / "single_face.mp4", swapper, plain, faces=faces, reading=reading, signing=unsigned))
    found = verified(plain)
    assert found.verdict == "unsigned" and (found.words or "").endswith("signed by the archive")
    assert len(list(plain.parent.iterdir())) == 3


def test_a_claim_is_judged_by_what_it_says_not_by_who_says_it(tmp_path: Path) -> None:
    """A film of another maker, signed and real, is not marked; one that was drawn upstream is."""
    plain = small_film(tmp_path / "in.mp4")
    real = sign(plain, tmp_path / "real.mp4", claim(plain, frames_changed=0))
    assert verified(real).exit_code == 1
    drawn = sign(plain, tmp_path / "drawn.mp4")
    later = sign(plain, tmp_path / "later.mp4", claim(drawn, frames_changed=0))
    assert (
        verified(later).exit_code == 0
        and "c2pa.transcoded" in verified(later).to_json()["credentials"]["actions"]
    )
