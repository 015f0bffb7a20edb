"""Who agreed to be drawn: it travels with the model, and without it nothing is converted."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_dfm import make_dfm
from make_model import make_swapper, metadata
from test_convert import run

from crossface.engine import convert
from crossface.engine.errors import BadInputError, InputMissingError, RefusedError, UsageError
from crossface.engine.jobs.folder import open_job
from crossface.engine.jobs.plan import Plan
from crossface.engine.jobs.planning import make_plan
from crossface.engine.jobs.run import do_segments
from crossface.engine.provenance.configuration import configuration_folder
from crossface.engine.provenance.consent import Consent, read_consent

RECORD = """
who = "Ben Example"
by = "M. Roe, his agent"
scope = ["The Long Film", "trailers"]
expires = 2027-12-31
reference = "release form 2026-117"
"""
YESTERDAY = datetime.date.today() - datetime.timedelta(days=1)


@pytest.fixture
def nobody_has_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's configuration folder in which there is nothing yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    return configuration_folder()


def model_with(path: Path, consent: Consent | None) -> Path:
    return make_swapper(path, metadata(consent=consent).to_json())


def test_a_record_says_what_its_user_wrote(tmp_path: Path) -> None:
    path = tmp_path / "ben.toml"
    path.write_text(RECORD)
    consent = read_consent(str(path))
    assert consent == Consent(
        "release form 2026-117",
        who="Ben Example",
        by="M. Roe, his agent",
        scope=("The Long Film", "trailers"),
        expires=datetime.date(2027, 12, 31),
    )
    assert all(
        word in str(consent) for word in ("2026-117", "Ben Example", "M. Roe", "trailers", "2027-12-31")
    )
    assert read_consent(" form 7 ") == Consent("form 7")
    assert Consent("form 7").to_fields() == {"reference": "form 7"}, "nothing that was not written"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reference = 7", "reference"),
        ('who = "Ben"', "reference"),
        ('reference = "a"\nexpires = "soon"', "soon"),
        ('reference = "a"\nexpires = 2027-12-31T10:00:00', "expires"),
        ('reference = "a"\nscope = [1]', "scope"),
        ('reference = "a"\nexpiry = 2027-12-31', "expiry"),
        ("reference", "no consent record"),
        ('reference = "\\ud800"', "Unicode"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(BadInputError, match=says) as refused:
        read_consent(str(path))
    assert str(path) in str(refused.value)


def test_a_record_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError):
        read_consent(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError):
        read_consent("  ")


@given(st.dates(), st.dates())
def test_it_holds_through_its_last_day(last: datetime.date, today: datetime.date) -> None:
    assert Consent("a", expires=last).has_expired(today) == (today > last)
    assert not Consent("a").has_expired(today)


def test_an_ended_consent_stops_everything(clips: Path, tmp_path: Path, nobody_has_said: Path) -> None:
    clip, out = clips / "single_face.mp4", tmp_path / "out.mp4"
    ended = model_with(tmp_path / "ended.onnx", Consent("form 7", expires=YESTERDAY))
    for stated in (False, True):
        with pytest.raises(RefusedError, match=f"ended on {YESTERDAY}") as refused:
            run(convert(clip, ended, out, rights_stated=stated))
        assert refused.value.exit_code == 77
    holding = model_with(tmp_path / "holding.onnx", Consent("form 7", expires=datetime.date.today()))
    plan = make_plan(clip, {None: holding}, out)
    # It ends while the job waits.
    (model,) = plan.models
    text = plan.to_json().replace(str(datetime.date.today()), str(YESTERDAY))
    late = tmp_path / "plan.json"
    late.write_text(text)
    job = Plan.read(late)
    assert job.models[0].consent == Consent("form 7", expires=YESTERDAY) and model.consent is not None
    with pytest.raises(RefusedError):
        list(do_segments(*open_job(late), [0]))
    assert {path.name for path in tmp_path.iterdir()} == {"ended.onnx", "holding.onnx", "plan.json"}


def test_the_rights_are_stated_once_a_model(clips: Path, tmp_path: Path, nobody_has_said: Path) -> None:
    clip, out = clips / "single_face.mp4", tmp_path / "out.mp4"
    model, other = make_dfm(tmp_path / "Ada.dfm"), model_with(tmp_path / "other.onnx", None)
    for each in (model, other):
        with pytest.raises(RefusedError, match="--i-have-the-rights"):
            make_plan(clip, {None: each}, out)
    assert not nobody_has_said.exists()
    first = make_plan(clip, {None: model}, out, rights_stated=True)
    # Under another name it is the same model.
    renamed = model.rename(tmp_path / "Eva.dfm")
    again = make_plan(clip, {None: renamed}, out)
    assert first.models[0].rights_stated and again.models[0].rights_stated
    with pytest.raises(RefusedError, match=r"other\.onnx"):
        make_plan(clip, {None: other}, out)
    # What is kept names no file and no clip.
    (kept,) = (nobody_has_said / "rights").iterdir()
    assert kept.stem == first.models[0].sha256 and json.loads(kept.read_text()) == {"identity": "Ada"}
    assert kept.parent.stat().st_mode & 0o077 == 0
    path = tmp_path / "plan.json"
    first.write(path)
    assert Plan.read(path) == first


def test_a_statement_changes_no_plan(
    clips: Path, tmp_path: Path, nobody_has_said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a configuration folder that cannot be written: it is asked for again then."""
    model = model_with(tmp_path / "model.onnx", Consent("form 7"))
    clip, out = clips / "single_face.mp4", tmp_path / "out.mp4"
    assert (
        make_plan(clip, {None: model}, out).id == make_plan(clip, {None: model}, out, rights_stated=True).id
    )
    assert not nobody_has_said.exists(), "where there is a consent nothing is stated"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    unsaid = model_with(tmp_path / "unsaid.onnx", None)
    assert make_plan(clip, {None: unsaid}, out, rights_stated=True).models[0].rights_stated
    with pytest.raises(RefusedError):
        make_plan(clip, {None: unsaid}, out)


@pytest.mark.needs_torch
def test_a_model_in_training_carries_the_consents(tmp_path: Path) -> None:
    from crossface.engine.face.align import TEMPLATE
    from crossface.training.model_card import ModelCard, check_same
    from crossface.training.presets import PRESETS

    ben = Consent("form 7", who="Ben", expires=datetime.date(2030, 1, 1))

    def card(**consents: Consent | None) -> ModelCard:
        return ModelCard(
            PRESETS["fast-128"],
            "anna",
            "ben",
            "0",
            "1",
            template=dict(TEMPLATE),
            software="a test",
            **consents,
        )

    card(consent_b=ben).write(tmp_path)
    read = ModelCard.read(tmp_path)
    assert read.consent("b") == ben and read.consent("a") is None
    check_same(read, card(), tmp_path)
    check_same(read, card(consent_b=ben), tmp_path)
    with pytest.raises(UsageError, match="another consent"):
        check_same(read, card(consent_b=Consent("form 8")), tmp_path)
    # Of before there were any.
    fields = json.loads((tmp_path / "model.json").read_text())
    del fields["consent_a"], fields["consent_b"]
    (tmp_path / "model.json").write_text(json.dumps(fields))
    assert ModelCard.read(tmp_path).consent("b") is None
