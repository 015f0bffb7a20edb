"""The audit: what it says of facesets whose faults are known, and what it refuses."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from click.testing import CliRunner
from make_faceset import make_faceset
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from crossface.engine.cli import crossface
from crossface.engine.errors import BadInputError, CrossfaceError, InputMissingError, OutputExistsError
from crossface.engine.review.png import read_png, write_png
from crossface.training.audit import AuditDone, audit
from crossface.training.audit.examine import Examined, chosen, examine
from crossface.training.audit.people import find_others
from crossface.training.extract import extract
from crossface.training.faceset import FaceRecord, Faceset, header_line

Image = NDArray[np.uint8]
Pick = tuple[Faceset, FaceRecord]


@pytest.fixture(scope="module")
def woman(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Faceset:
    """A woman who turns, laughs and cries, a hand before her face in a third of it: 118 faces."""
    return _extracted(clips / "WolfgangLanger_Pexels.mp4", tmp_path_factory.mktemp("woman"), 4)


@pytest.fixture(scope="module")
def man(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Faceset:
    """A man who looks straight ahead, at rest, then laughing: 24 faces."""
    return _extracted(clips / "single_face.mp4", tmp_path_factory.mktemp("man"), 3)


@pytest.fixture(scope="module")
def examined(woman: Faceset) -> Examined:
    """The woman, examined."""
    return _run(examine(woman))


def _extracted(clip: Path, folder: Path, every: int) -> Faceset:
    list(extract([clip], folder / "faces_of", every=every))
    return Faceset.load(folder / "faces_of")


def _run(work: Iterator[object]) -> Any:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def _derived(
    folder: Path, picks: Sequence[Pick], change: Callable[[Image], Image] = lambda picture: picture
) -> Path:
    """A faceset of some faces of others, their pictures changed."""
    (folder / "faces").mkdir(parents=True)
    lines = [header_line()]
    for number, (faceset, record) in enumerate(picks):
        file = f"faces/{number:06d}.png"
        write_png(folder / file, change(read_png(faceset.folder / record.file)))
        lines.append(replace(record, file=file).to_json())
    (folder / "faceset.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def _all(faceset: Faceset) -> list[Pick]:
    return [(faceset, record) for record in faceset.records]


def _blurred(picture: Image) -> Image:
    return np.rint(gaussian_filter(picture.astype(float), (4, 4, 0))).astype(np.uint8)


def _audit(a: Path, b: Path, output: Path) -> AuditDone:
    *_, done = audit(a, b, output)
    assert isinstance(done, AuditDone)
    return done


@pytest.fixture(scope="module")
def poor(woman: Faceset, man: Faceset, examined: Examined, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The woman looking to one side only, blurred, with six faces of the man among hers."""
    one_side = np.flatnonzero(examined.faces.yaw_deg > 1)
    picks = [(woman, woman.records[n]) for n in one_side]
    picks[10:10] = _all(man)[::4]
    return _derived(tmp_path_factory.mktemp("poor") / "poor", picks, _blurred)


@pytest.fixture(scope="module")
def poor_audit(woman: Faceset, poor: Path, tmp_path_factory: pytest.TempPathFactory) -> AuditDone:
    return _audit(woman.folder, poor, tmp_path_factory.mktemp("audit"))


def test_a_poor_faceset_fails_and_is_told_why(poor_audit: AuditDone) -> None:
    done = poor_audit
    assert done.judgement.verdict == "will fail"
    report = json.loads(done.report.read_text())
    found = {(finding["side"], finding["kind"]): finding for finding in report["findings"]}
    assert found["B", "blurred"]["level"] == "fails"
    # The stranger, all of him; of hers, all blurred as they are, one at most.
    him, told = {f"faces/{n:06d}.png" for n in range(10, 16)}, set(found["B", "stranger"]["faces"])
    assert him <= told and len(told - him) <= 1
    assert "single_face.mp4" in found["B", "stranger"]["says"]
    missing = {gap["label"] for gap in report["gaps"] if gap["dimensions"] == ["yaw_deg"]}
    assert "head turned to the picture's left by 5 to 15°" in missing
    assert not any("right" in label for label in missing)
    text = done.page.read_text()
    assert "head turned to the picture&#x27;s left by 5 to 15°" in text and "will fail" in text


def test_the_straight_face_alone_lacks_what_the_other_does(
    woman: Faceset, man: Faceset, examined: Examined, tmp_path: Path
) -> None:
    done = _audit(woman.folder, man.folder, tmp_path / "audit")
    kinds = {(finding.side, finding.kind): finding for finding in done.judgement.findings}
    assert kinds["B", "one yaw range"].level == "gap"
    # His yaw is 0 to 2 degrees, so all her faces beyond 8 are missed, and none below 5.
    (unseen,) = [
        {n for gap in done.judgement.coverage.gaps if gap.dimensions == ("yaw_deg",) for n in gap.faces}
    ]
    yaw = np.abs(examined.faces.yaw_deg[examined.person])
    assert set(np.flatnonzero(yaw > 10)) <= unseen
    assert not unseen & set(np.flatnonzero(yaw < 4))
    assert done.judgement.verdict == "will fail"


def test_a_good_pair_passes(woman: Faceset, tmp_path: Path) -> None:
    even = _derived(tmp_path / "even", _all(woman)[::2])
    odd = _derived(tmp_path / "odd", _all(woman)[1::2])
    done = _audit(even, odd, tmp_path / "audit")
    assert done.judgement.verdict == "trains, with gaps"
    assert done.judgement.coverage.unseen < 0.1
    told = {finding.kind for finding in done.judgement.findings if finding.level == "gap"}
    # Both are true of this clip.
    assert {"few", "covered"} <= told
    assert not told & {"stranger", "blurred", "small", "exposure", "one yaw range"}


@pytest.mark.parametrize("side", ["woman among men", "man among women"])
@pytest.mark.parametrize("blurred", [False, True], ids=["sharp", "blurred"])
def test_a_stranger_is_found_and_nobody_else(
    woman: Faceset, man: Faceset, side: str, blurred: bool, tmp_path: Path
) -> None:
    many, few = (man, woman) if side == "woman among men" else (woman, man)
    picks, strangers = _all(many)[-40:], _all(few)[:: max(1, len(few.records) // 5)][:5]
    places = np.random.default_rng(len(side)).choice(len(picks), 5, replace=False)
    for place, stranger in sorted(zip(places.tolist(), strangers, strict=True), key=lambda pair: -pair[0]):
        picks.insert(place, stranger)
    folder = _derived(tmp_path / "mixed", picks, _blurred if blurred else lambda picture: picture)
    examined = _run(examine(Faceset.load(folder)))
    assert set(examined.strangers) == {n for n, (faceset, _) in enumerate(picks) if faceset is few}


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_one_person_alone_has_no_stranger(examined: Examined, step: int) -> None:
    """Laughing, crying, behind her hand: seen twelve times a second or but every half second."""
    numbers = np.arange(0, len(examined.faces), step)
    records = [examined.faceset.records[n] for n in numbers]
    assert find_others(chosen(examined.faces, numbers), records) == []


def test_hands_before_the_face_are_found(examined: Examined) -> None:
    frames = np.array([record.frame for record in examined.faceset.records])
    # Looked at: the hand comes in at frame 60 and has left at 228, and is over nose or mouth from 96 to 212.
    over = set(np.flatnonzero((frames >= 96) & (frames <= 212)))
    bare = set(np.flatnonzero((frames < 60) | (frames > 228)))
    found = set(examined.covered)
    assert len(found & over) > 0.8 * len(over)
    assert len(found & bare) < 0.15 * len(bare)


def test_near_duplicates_are_counted_once(man: Faceset, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 1.5, (256, 256, 3))
    grainy = lambda picture: (picture + noise).round().clip(0, 255).astype(np.uint8)  # noqa: E731
    first, last = _all(man)[0], _all(man)[-8]
    folder = _derived(tmp_path / "twice", [first, last, first, last, last], grainy)
    examined = _run(examine(Faceset.load(folder)))
    assert examined.first_of_alike.tolist() == [0, 1, 0, 1, 1]
    assert examined.repeats == 3


class _Parser(HTMLParser):
    """Collects what a page shows and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attributes)
        if tag == "img":
            self.images.append(str(values["src"]))
        else:
            self.fetched += [str(values[name]) for name in ("src", "href") if name in values]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing(poor_audit: AuditDone) -> None:
    page = poor_audit.page.read_text()
    parser = _Parser()
    parser.feed(page)
    assert not parser.open and not parser.fetched and "script" not in parser.tags
    assert not re.search(r"https?:|url\(", page)
    assert len(parser.images) > 20
    for source in (parser.images[0], parser.images[-1]):
        kind, data = source.split(",")
        assert kind == "data:image/jpeg;base64"
        (picture,) = av.CodecContext.create("mjpeg", "r").decode(av.Packet(base64.b64decode(data)))
        # A face: skin in the middle is redder than green, and not flat.
        rgb = picture.to_ndarray(format="rgb24").astype(float)
        assert rgb.shape == (88, 88, 3) and rgb.std() > 15
        assert rgb[30:58, 30:58, 0].mean() > rgb[30:58, 30:58, 1].mean()


def test_names_of_folders_and_clips_cannot_break_the_page(man: Faceset, tmp_path: Path) -> None:
    picks = [(man, replace(record, source='<b>"&.mp4')) for record in man.records]
    folder = _derived(tmp_path / "<i>folder&", picks)
    parser = _Parser()
    parser.feed(_audit(folder, man.folder, tmp_path / "audit").page.read_text())
    assert not parser.open and "i" not in parser.tags


# Bad input.


def _spoilt(man: Faceset, folder: Path) -> Path:
    return _derived(folder, _all(man)[:6])


def test_damaged_pictures_are_all_named(man: Faceset, tmp_path: Path) -> None:
    folder = _spoilt(man, tmp_path / "b")
    for number in (1, 4):
        path = folder / f"faces/{number:06d}.png"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x55
        path.write_bytes(data)
    with pytest.raises(BadInputError) as raised:
        _audit(man.folder, folder, tmp_path / "audit")
    assert "000001.png" in str(raised.value) and "000004.png" in str(raised.value)
    assert not (tmp_path / "audit").exists()


def test_mixed_sizes_are_refused(man: Faceset, tmp_path: Path) -> None:
    folder = _spoilt(man, tmp_path / "b")
    write_png(folder / "faces/000002.png", read_png(folder / "faces/000002.png")[::2, ::2])
    with pytest.raises(BadInputError, match=r"000002\.png: is 128x128, not 256"):
        _audit(man.folder, folder, tmp_path / "audit")


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda folder: (folder / "faces/000003.png").unlink(), InputMissingError, "000003.png: missing"),
        (lambda folder: shutil.rmtree(folder), InputMissingError, "cannot be read"),
        (lambda folder: _edit(folder, lambda lines: lines[:1]), BadInputError, "holds no face"),
        (lambda folder: _edit(folder, lambda lines: []), BadInputError, "not a faceset"),
        (
            lambda folder: _edit(folder, lambda lines: [*lines[:3], lines[3][:200], *lines[4:]]),
            BadInputError,
            "line 4 is damaged",
        ),
        (
            lambda folder: _edit(
                folder,
                lambda lines: [line.replace('"time_s": ', '"time_s": 1e999') for line in lines],
            ),
            BadInputError,
            "line 2 is damaged",
        ),
        (
            lambda folder: _edit(folder, lambda lines: [lines[0], *(_flat(line) for line in lines[1:])]),
            BadInputError,
            "line 2 is damaged",
        ),
        (
            lambda folder: _edit(folder, lambda lines: [*lines[:3], *(_shrunk(line) for line in lines[3:])]),
            BadInputError,
            "line 4 is damaged",
        ),
    ],
    ids=["picture", "folder", "empty", "no header", "half a line", "infinite", "flat transform", "no face"],
)
def test_bad_facesets_are_refused_before_work(
    man: Faceset,
    spoil: Callable[[Path], None],
    error: type[CrossfaceError],
    says: str,
    tmp_path: Path,
) -> None:
    folder = _spoilt(man, tmp_path / "b")
    spoil(folder)
    work = audit(man.folder, folder, tmp_path / "audit")
    with pytest.raises(error, match=says):
        next(work)
    assert not (tmp_path / "audit").exists()


def _edit(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    index = folder / "faceset.jsonl"
    index.write_text("".join(line + "\n" for line in change(index.read_text().splitlines())))


def _shrunk(line: str) -> str:
    """All landmarks but one in one place."""
    return json.dumps({**json.loads(line), "landmarks": [[5.0, 5.0]] * 467 + [[9.0, 8.0]]})


def _flat(line: str) -> str:
    return json.dumps({**json.loads(line), "transform": [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]})


def test_one_face_is_too_few_and_no_crash(man: Faceset, tmp_path: Path) -> None:
    one = _derived(tmp_path / "one", _all(man)[:1])
    done = _audit(man.folder, one, tmp_path / "audit")
    few = [finding for finding in done.judgement.findings if finding.kind == "few" and finding.side == "B"]
    assert done.judgement.verdict == "will fail" and "of 1 faces only 1" in few[0].says


def test_faces_that_are_drawn_are_judged_too(tmp_path: Path) -> None:
    a = make_faceset(tmp_path / "a", 4, (200, 150, 120))
    b = make_faceset(tmp_path / "b", 3, (120, 90, 70), seed=1)
    assert _audit(a, b, tmp_path / "audit").judgement.verdict == "will fail"


def test_an_audit_that_is_there_stays(man: Faceset, tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text("mine")
    with pytest.raises(OutputExistsError):
        _audit(man.folder, man.folder, tmp_path)
    assert (tmp_path / "audit.json").read_text() == "mine"
    assert not (tmp_path / "audit.html").exists()


@pytest.mark.parametrize(
    ("options", "code"), [((), 65), (("--report-only",), 0)], ids=["plain", "report only"]
)
def test_the_command_exits_by_the_verdict(
    man: Faceset, options: tuple[str, ...], code: int, tmp_path: Path
) -> None:
    few = str(_derived(tmp_path / "few", _all(man)[:3]))
    result = CliRunner().invoke(
        crossface, ["audit", str(man.folder), few, "-o", str(tmp_path / "out"), *options]
    )
    assert result.exit_code == code
    assert "will fail: see" in result.output and "only" in result.output
    assert (tmp_path / "out/audit.html").is_file() and (tmp_path / "out/audit.json").is_file()
