"""The content gate: what looks explicit is not converted, whichever way; what does not, always is."""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blobs import RATE, blobs, film_with_blobs, talking_head
from emulated_place import EmulatedPlace
from hypothesis import given
from hypothesis import strategies as st
from make_model import make_swapper, metadata
from numpy.typing import NDArray
from test_convert import QUICK, run
from unsigned import UNSIGNED, UNSIGNED_OPTIONS

from crossface.engine import analyze, convert, weights
from crossface.engine.cli import main
from crossface.engine.clip import Clip
from crossface.engine.compare import Alternative, compare
from crossface.engine.errors import BadInputError, ExplicitError, RefusedError
from crossface.engine.events import Noted
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.jobs.folder import folder_of
from crossface.engine.jobs.plan import PlannedModel
from crossface.engine.provenance.consent import Consent
from crossface.engine.provenance.explicit import Sampler, Scorer
from crossface.engine.provenance.gate import LIMIT, Score, explicit_samples, is_covered
from crossface.engine.review.png import write_png
from crossface.engine.settings import AnalysisSettings, ConversionSettings
from crossface.engine.weights import convert as converter
from crossface.engine.weights import face_models

pytestmark = pytest.mark.needs_gate

SEGMENTED = ConversionSettings(encoder_options={"preset": "ultrafast", "crf": "30"}, segment_s=1)
COVERED = Consent("form 7", scope=("The Long Film", " Explicit Content"))


@pytest.fixture(scope="module")
def explicit(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a talking head, then one that looks explicit to the network."""
    path = tmp_path_factory.mktemp("explicit") / "film.mp4"
    return film_with_blobs(path, *talking_head(clips, RATE), RATE)


@pytest.fixture(scope="module")
def covered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("covered")
    return make_swapper(folder / "a.onnx", metadata(consent=COVERED).to_json())


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network is there but the gate's."""
    for name in weights.FACE_MODELS:
        shutil.copy(weights.locate(name), tmp_path)
    monkeypatch.setenv("CROSSFACE_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(face_models, "PACKAGE_FOLDER", tmp_path / "nowhere")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "nowhere"))


def originals() -> list[bytes]:
    folder = Path(__file__).parents[1] / "build" / "originals"
    return [(folder / f"content_gate{end}").read_bytes() for end in ("", ".1", ".2")]


# The network


class Published:
    """The published network in NumPy, read and computed without anything of the product's."""

    def __init__(self, topology: bytes, *shards: bytes) -> None:
        text = topology.decode()
        text = text[text.index("{format:") : text.rindex("},{}]},{}")]
        text = re.sub(r"([{,])([A-Za-z_]\w*):", r'\1"\2":', text)
        text = text.replace(":!0", ":true").replace(":!1", ":false")
        self.network = json.loads(re.sub(r"([:\[,]-?)\.(\d)", r"\g<1>0.\2", text))
        found = [re.search(rb'exports="([^"]+)"', shard) for shard in shards]
        data = b"".join(base64.b64decode(each[1]) for each in found if each)
        self.weights: dict[str, NDArray[np.float32]] = {}
        position = 0
        for entry in self.network["weightsManifest"][0]["weights"]:
            size, coding = int(np.prod(entry["shape"])), entry["quantization"]
            codes = np.frombuffer(data, np.uint8, size, position)
            weights = coding["min"] + coding["scale"] * codes.astype(np.float64)
            self.weights[entry["name"]] = weights.astype(np.float32).reshape(entry["shape"])
            position += size

    def classes(self, image: NDArray[np.floating]) -> NDArray[np.float32]:
        """Of RGB ``[224, 224, 3]``, 0..1."""
        values: dict[str, Any] = dict(self.weights)
        result = image = image.astype(np.float32)
        for node in self.network["modelTopology"]["node"]:
            kind = node["op"]
            if kind == "Const":
                continue
            given = [values[name] for name in node.get("input", [])]
            if kind == "Placeholder":
                result = image
            elif kind in ("_FusedConv2D", "FusedDepthwiseConv2dNative"):
                stride = int(node["attr"]["strides"]["list"]["i"][1])
                result = self._convolved(*given, stride, depthwise=kind[0] == "F")
                if "UmVsdTY=" in node["attr"]["fused_ops"]["list"]["s"]:
                    result = np.clip(result, 0, 6)
            elif kind == "AvgPool":
                result = given[0].mean((0, 1))
            elif kind == "_FusedMatMul":
                result = given[0] @ given[1] + given[2]
            elif kind == "Softmax":
                result = np.exp(given[0] - given[0].max())
                result /= result.sum()
            elif kind in ("AddV2", "Mul", "Sub"):
                result = {"AddV2": np.add, "Mul": np.multiply, "Sub": np.subtract}[kind](*given)
            else:
                result = given[0]
            values[node["name"]] = result
        return result

    @staticmethod
    def _convolved(
        x: NDArray[Any], kernel: NDArray[Any], bias: NDArray[Any], stride: int, *, depthwise: bool
    ) -> NDArray[Any]:
        """``SAME``: as many pixels as strides fit, what is missing split before and after."""
        side, size = len(x), len(kernel)
        out = -(-side // stride)
        missing = max((out - 1) * stride + size - side, 0)
        before = missing // 2
        x = np.pad(x, ((before, missing - before), (before, missing - before), (0, 0)))
        total: Any = bias
        for row in range(size):
            for column in range(size):
                seen = x[row : row + (out - 1) * stride + 1 : stride, column:][
                    :, : (out - 1) * stride + 1 : stride
                ]
                taps = kernel[row, column]
                total = total + (seen * taps[:, 0] if depthwise else seen @ taps)
        return np.asarray(total)


def test_the_network_is_the_published_one(clips: Path) -> None:
    published = Published(*originals())
    noise = np.random.default_rng(3).uniform(0, 1, (224, 224, 3))
    face = talking_head(clips, 1, width=224, height=224)[0] / 255
    scorer = Scorer(np.eye(2))
    for image in (noise, face, blobs(224, 224) / 255):
        wanted = published.classes(image)
        (classes,) = scorer._runner.run(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32))
        np.testing.assert_allclose(classes[0], wanted, atol=2e-4)
        found = scorer.score_picture(image.transpose(2, 0, 1).astype(np.float32))
        assert found == pytest.approx(wanted[1] + wanted[3], abs=3e-4)


def test_the_conversion_gives_the_pinned_bytes() -> None:
    made = converter.content_gate(b"".join(originals())).SerializeToString(deterministic=True)
    assert face_models.sha256_of(made) == weights.GATE_MODELS["content_gate"].sha256


def test_files_that_are_not_the_published_ones() -> None:
    topology, *shards = originals()
    for source, says in (
        (topology + shards[0], "1 shards of 2"),
        (topology + shards[0] + shards[1].replace(b'="', b'="AAAA'), "are listed"),
        (b"".join([topology.replace(b'op:"Softmax"', b'op:"Softsign"'), *shards]), "operator Softsign"),
        (topology[: len(topology) // 2], "no literal"),
        (b"exports={}", "content_gate"),
        (b"\xff", "content_gate"),
    ):
        with pytest.raises(BadInputError, match=says) as refused:
            converter.content_gate(source)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "display",
    [[[0, -1], [1, 0]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[-1, 0], [0, 1.1]], [[1, 0], [0, 1]]],
)
def test_a_turned_film_is_looked_at_as_it_is_shown(display: list[list[float]]) -> None:
    matrix = np.array(display, np.float64)
    picture = np.random.default_rng(1).uniform(0, 1, (3, 224, 224)).astype(np.float32)
    y, x = np.mgrid[:224, :224]
    to = np.rint(np.einsum("ij,jhw->ihw", np.sign(matrix), np.stack([x, y]) - 111.5) + 111.5).astype(int)
    shown = np.empty_like(picture)
    shown[:, to[1], to[0]] = picture
    assert Scorer(matrix).score_picture(picture) == Scorer(np.eye(2)).score_picture(shown)


# Which frames, and what decides


@given(
    gaps=st.lists(
        st.fractions(Fraction(1, 120), Fraction(3, 2), max_denominator=240), min_size=1, max_size=200
    ),
    cuts=st.sets(st.integers(0, 199)),
)
def test_every_second_and_every_shot_is_looked_at_but_not_each_frame(
    gaps: list[Fraction], cuts: set[int]
) -> None:
    sampler, time = Sampler(), Fraction(5)
    times, looked = [], []
    for n, gap in enumerate(gaps):
        times.append(time)
        looked.append(sampler.wants(time, cut=n in cuts))
        time += gap
    taken = [at for at, wanted in zip(times, looked, strict=True) if wanted]
    assert looked[0]
    assert all(b - a >= Fraction(1, 5) for a, b in itertools.pairwise(taken))
    for a, b in zip(taken, [*taken[1:], times[-1] + 1], strict=True):
        assert not [at for at in times if a + 1 <= at < b], "a second without a look"


def test_three_looks_at_the_first_second_of_a_shot() -> None:
    sampler = Sampler()
    looked = [n for n in range(100) if sampler.wants(Fraction(n, 25), cut=n == 40)]
    assert looked == [0, 9, 18, 43, 52, 61, 86] or looked == [0, 9, 18, 40, 49, 58, 83]


@given(st.lists(st.floats(0, 1).map(lambda share: round(share, 4)), max_size=12))
def test_a_film_is_explicit_where_three_looks_in_a_row_are(shares: list[float]) -> None:
    scores = [Score(n, share) for n, share in enumerate(shares)]
    windows = [shares] if 0 < len(shares) < 3 else [shares[n : n + 3] for n in range(len(shares) - 2)]
    wanted = next((each for each in windows if sum(each) / len(each) >= LIMIT), None)
    found = explicit_samples(scores)
    assert (found and [score.explicit for score in found]) == wanted


@pytest.mark.parametrize(
    "name",
    ["WolfgangLanger_Pexels.mp4", "single_face.mp4", "no_face.mp4", "face_noface.mov", "noface_face.mov"],
)
def test_no_real_clip_is_refused(clips: Path, name: str) -> None:
    sampler, scores = Sampler(), []
    with Clip(clips / name) as clip:
        scorer = Scorer(clip.info.display)
        for frame in clip:
            if sampler.wants(frame.pts * frame.time_base, cut=False):
                scores.append(Score(frame.pts, scorer.score(frame)))
    assert len(scores) >= 3
    assert max(score.explicit for score in scores) < LIMIT / 2


# Conversions


def test_an_explicit_film_is_refused_and_nothing_is_left(
    explicit: Path, swapper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    arguments = ["convert", str(explicit), str(swapper), "-o", str(out), "--segment-seconds", "1"]
    messages = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *UNSIGNED_OPTIONS, "--i-have-the-rights"])
        assert ended.value.code == 77
        messages.append(capsys.readouterr().err.splitlines()[-1])
    assert messages[0] == messages[1] and "explicit" in messages[0]
    times = [float(time) for time in re.findall(r"(\d+\.\d) s \(0\.\d\d\)", messages[0])]
    assert len(times) == 3 and 0.6 <= times[0] < times[2] < 2
    assert [path for path in tmp_path.iterdir() if path != explicit] == []


def test_steps_of_a_job_do_not_look_again(
    explicit: Path,
    swapper: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = tmp_path / "out.mp4.job" / "plan.json"
    with pytest.raises(SystemExit):
        main(["plan", str(explicit), str(swapper), "-o", str(tmp_path / "out.mp4"), "--segment-seconds", "1"])
    with pytest.raises(SystemExit):
        main(["segment", str(plan), "--seg", "0-1", "--stage", "analyze"])
    seen = {path: path.stat().st_mtime_ns for path in plan.parent.glob("seen-*")}
    assert seen
    monkeypatch.setattr(Scorer, "__init__", lambda *_, **__: pytest.fail("it looks again"))
    messages = []
    for number in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["segment", str(plan), "--seg", str(number)])
        assert ended.value.code == 77
        messages.append(capsys.readouterr().err.splitlines()[-1])
    assert messages[0] == messages[1] and "explicit" in messages[0]
    assert {path: path.stat().st_mtime_ns for path in plan.parent.glob("seen-*")} == seen


def test_workers_steps_and_lanes_refuse_it_too(
    explicit: Path, swapper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "workers.mp4"
    with pytest.raises(ExplicitError, match="looks sexually explicit"):
        run(convert(explicit, swapper, out, settings=SEGMENTED, signing=UNSIGNED, workers=2))
    assert not out.exists() and not folder_of(out).exists()

    out = tmp_path / "lane.mp4"
    with pytest.raises(ExplicitError, match="looks sexually explicit"):
        run(convert(explicit, swapper, out, settings=SEGMENTED, signing=UNSIGNED, device=EmulatedPlace()))
    assert not out.exists() and not folder_of(out).exists()

    out = tmp_path / "steps.mp4"
    plan = folder_of(out) / "plan.json"
    codes = []
    for arguments in (
        ["plan", str(explicit), str(swapper), "-o", str(out), "--segment-seconds", "1"],
        ["segment", str(plan), "--seg", "0-1", "--stage", "analyze"],
        ["segment", str(plan), "--seg", "0"],
        ["segment", str(plan), "--seg", "1"],
        ["join", str(plan), *UNSIGNED_OPTIONS],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        codes.append(ended.value.code)
    assert codes == [0, 0, 77, 77, 77] and not out.exists()


def test_a_faces_file_brings_its_scores(explicit: Path, swapper: Path, tmp_path: Path) -> None:
    faces, out = tmp_path / "shot.faces", tmp_path / "out.mp4"
    _, warnings = run(analyze(explicit, faces))
    assert any("looks sexually explicit" in warning for warning in warnings)
    scores = FacesFile(faces).scores
    assert scores is not None and explicit_samples(scores) is not None
    with pytest.raises(ExplicitError, match="looks sexually explicit"):
        run(convert(explicit, swapper, out, faces=faces, settings=QUICK, signing=UNSIGNED))
    assert not out.exists() and not folder_of(out).exists()

    *lines, last = faces.read_text().splitlines()
    for changed, error in (
        ({"explicit": [[0, "?"]]}, BadInputError),
        ({"explicit": [[0, 2]]}, BadInputError),
        ({}, RefusedError),
    ):
        fields = {"tracks": json.loads(last)["tracks"], **changed}
        faces.write_text("\n".join([*lines, json.dumps(fields)]) + "\n")
        with pytest.raises(error):
            run(convert(explicit, swapper, out, faces=faces, settings=QUICK, signing=UNSIGNED))
        assert not out.exists() and not folder_of(out).exists()


def test_sequences_and_sheets_are_refused_too(clips: Path, swapper: Path, tmp_path: Path) -> None:
    for number, picture in enumerate([*talking_head(clips, 2), *[blobs(320, 180)] * 30]):
        write_png(tmp_path / f"in.{number:04}.png", picture)
    source, target = tmp_path / "in.####.png", tmp_path / "out.####.png"
    with pytest.raises(ExplicitError, match="looks sexually explicit"):
        run(convert(source, swapper, target, settings=QUICK, signing=UNSIGNED))
    assert not list(tmp_path.glob("out*"))
    choice = Alternative("a", swapper, QUICK, AnalysisSettings())
    with pytest.raises(ExplicitError, match="looks sexually explicit"):
        run(compare(source, [choice], tmp_path / "sheet.png"))
    assert not (tmp_path / "sheet.png").exists()


def test_a_consent_that_covers_it_lets_it_through(explicit: Path, covered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    events = list(convert(explicit, covered, out, settings=SEGMENTED, signing=UNSIGNED))
    assert out.exists()
    assert any(isinstance(event, Noted) and "the consent covers that" in event.message for event in events)
    told = json.loads((folder_of(out) / "report.json").read_text())["provenance"]["content_gate"]
    assert told["explicit"] and told["covered_by_consent"] and told["highest_score"] >= LIMIT


@pytest.mark.parametrize(
    ("scopes", "does"),
    [
        ([()], False),
        ([("explicit",)], False),
        ([("no explicit content",)], False),
        ([("The Long Film, explicit content",)], False),
        ([("The Long Film", "EXPLICIT CONTENT ")], True),
        ([("explicit content",), ("explicit content",)], True),
        ([("explicit content",), None], False),
        ([], False),
    ],
)
def test_each_consent_must_name_it(scopes: list[tuple[str, ...] | None], does: bool) -> None:
    consents = [None if scope is None else Consent("form 7", scope=scope) for scope in scopes]
    models = [PlannedModel(Path("a.onnx"), "ab" * 32, "Ben", each, None) for each in consents]
    assert is_covered(models) is does


def test_two_odd_frames_refuse_nothing(clips: Path, swapper: Path, tmp_path: Path) -> None:
    head = talking_head(clips, RATE)
    film = film_with_blobs(tmp_path / "film.mp4", 1, *head, 1, *head)
    out = tmp_path / "out.mp4"
    finished, _ = run(convert(film, swapper, out, settings=QUICK, signing=UNSIGNED))
    told = json.loads((folder_of(out) / "report.json").read_text())["provenance"]["content_gate"]
    assert finished.faces and told["highest_score"] >= LIMIT and not told["explicit"]


def test_a_lane_sees_what_the_cpu_sees(explicit: Path, tmp_path: Path) -> None:
    found = []
    for name, device in (("cpu", "cpu"), ("lane", EmulatedPlace())):
        run(analyze(explicit, tmp_path / name, device=device))
        found.append(FacesFile(tmp_path / name).scores)
    assert found[0] == found[1]


def test_without_the_network_the_rights_are_stated_each_time(
    no_network: None, clips: Path, swapper: Path, covered: Path, tmp_path: Path
) -> None:
    film = film_with_blobs(tmp_path / "film.mp4", *talking_head(clips, RATE))
    for n in range(2):
        out = tmp_path / f"{n}.mp4"
        with pytest.raises(RefusedError, match="--i-have-the-rights"):
            run(convert(film, swapper, out, settings=QUICK, signing=UNSIGNED))
        assert not out.exists() and not folder_of(out).exists()
        _, warnings = run(convert(film, swapper, out, settings=QUICK, signing=UNSIGNED, rights_stated=True))
        assert any("was not looked at for explicit content" in warning for warning in warnings)
        report = json.loads((folder_of(out) / "report.json").read_text())
        assert report["provenance"]["content_gate"] == {"looked_at_by": "nobody"}
        assert any("not looked at" in warning for warning in report["warnings"])
    run(convert(film, covered, tmp_path / "covered.mp4", settings=QUICK, signing=UNSIGNED))
    with pytest.raises(RefusedError, match="--i-have-the-rights"):
        run(convert(film, swapper, tmp_path / "out.####.png", settings=QUICK, signing=UNSIGNED))


def test_plans_of_one_film_are_the_same(explicit: Path, swapper: Path, tmp_path: Path) -> None:
    texts = []
    for _ in range(2):
        with pytest.raises(SystemExit):
            main(["plan", str(explicit), str(swapper), "-o", str(tmp_path / "out.mp4")])
        texts.append((folder_of(tmp_path / "out.mp4") / "plan.json").read_bytes())
    assert texts[0] == texts[1] and json.loads(texts[0])["looked_at_by"] == "network"
