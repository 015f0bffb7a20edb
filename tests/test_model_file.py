"""A model file is ours and says how it must be used, or it is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_model import SIZE_PX, make_swapper, metadata, oval
from onnx import TensorProto, helper

from crossface.engine.errors import BadInputError, InputMissingError
from crossface.engine.face.align import LANDMARK_COUNT
from crossface.engine.provenance.consent import Consent
from crossface.engine.swap.model import ModelMetadata, Swapper

VALID = json.loads(metadata().to_json())
places = st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
words = st.text(max_size=40)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)


@st.composite
def consents(draw: st.DrawFn) -> Consent:
    said = words.map(str.strip).filter(bool)
    return Consent(
        draw(said),
        who=draw(st.none() | said),
        by=draw(st.none() | said),
        scope=tuple(draw(st.lists(words, max_size=3))),
        expires=draw(st.none() | st.dates()),
    )


@st.composite
def described(draw: st.DrawFn) -> ModelMetadata:
    return metadata(
        template=draw(
            st.dictionaries(st.integers(0, LANDMARK_COUNT - 1), places, min_size=2, max_size=8).filter(
                lambda template: len(set(template.values())) > 1
            )
        ),
        coverage=draw(st.floats(0.6, 4)),
        size_px=draw(st.integers(16, 1024)),
        output_px=draw(st.integers(16, 1024)),
        identity=draw(words),
        steps=draw(st.integers(0, 10**9)),
        data_hash=draw(words),
        consent=draw(st.none() | consents()),
    )


@given(described())
def test_metadata_round_trip(original: ModelMetadata) -> None:
    assert ModelMetadata.from_json(original.to_json()) == original


@given(st.sampled_from(sorted(VALID)), anything)
def test_a_field_of_any_other_value_is_refused_or_kept(field: str, value: Any) -> None:
    """Whatever stands in a field, the answer is metadata that can be used or a `BadInputError`."""
    try:
        parsed = ModelMetadata.from_json(json.dumps({**VALID, field: value}))
    except BadInputError as error:
        assert "\n" not in str(error)
    else:
        assert 16 <= parsed.size_px <= 4096 and 16 <= parsed.output_px <= 4096
        assert 0.5 < parsed.coverage < 8
        assert np.isfinite(list(parsed.template.values())).all()
        assert all(0 <= index < LANDMARK_COUNT for index in parsed.template)


@given(st.sampled_from(sorted(VALID)))
def test_a_missing_field_is_refused(field: str) -> None:
    with pytest.raises(BadInputError):
        ModelMetadata.from_json(json.dumps({key: value for key, value in VALID.items() if key != field}))


@given(st.text(max_size=200) | anything.map(json.dumps))
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadInputError):
        ModelMetadata.from_json(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"size_px": 10**30},
        {"size_px": 8},
        {"size_px": 1e999},
        {"output_px": -64},
        {"coverage": 10**400},
        {"coverage": float("nan")},
        {"format_version": 99},
        {"landmarks": "dlib-68"},
        {"template": {}},
        {"template": {"468": [0, 0], "1": [0, 1]}},
        {"template": {"1": [0, 0], "2": [float("nan"), 1]}},
        {"template": {"1": [0.1, 0.1], "2": [0.1, 0.1]}},
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInputError):
        ModelMetadata.from_json(json.dumps({**VALID, **changes}))


def test_deeply_nested_text_is_refused() -> None:
    with pytest.raises(BadInputError):
        ModelMetadata.from_json("[" * 100_000)


def foreign(path: Path) -> Path:
    """A network of someone else: no metadata, another input."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "relu",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(path))
    return path


def text_file(path: Path) -> Path:
    path.write_text("this is no network\n" * 20)
    return path


def empty_file(path: Path) -> Path:
    path.touch()
    return path


def truncated(path: Path) -> Path:
    content = make_swapper(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def without_metadata(path: Path) -> Path:
    return make_swapper(path, "")


def broken_metadata(path: Path) -> Path:
    return make_swapper(path, "{")


def other_size(path: Path) -> Path:
    return make_swapper(path, metadata(size_px=128).to_json())


def other_output(path: Path) -> Path:
    return make_swapper(path, metadata(output_px=128).to_json())


def other_precision(path: Path) -> Path:
    """Computes in float32, and says that it computes in half of that."""
    return make_swapper(path, metadata(precision="fp16").to_json())


@pytest.mark.parametrize(
    "make",
    [
        foreign,
        text_file,
        empty_file,
        truncated,
        without_metadata,
        broken_metadata,
        other_size,
        other_output,
        other_precision,
    ],
)
def test_files_that_are_no_model_of_ours(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "model.onnx")
    with pytest.raises(BadInputError) as caught:
        Swapper(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_or_unreadable_models(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(InputMissingError, match=str(path)):
            Swapper(path)


@pytest.mark.parametrize("enlarge", [1, 2])
def test_the_swapper_draws_what_its_graph_says(tmp_path: Path, enlarge: int) -> None:
    swapper = Swapper(make_swapper(tmp_path / "model.onnx", enlarge=enlarge), batch=4)
    assert swapper.metadata == metadata(output_px=SIZE_PX * enlarge)
    faces = np.random.default_rng(0).random((7, 3, SIZE_PX, SIZE_PX)).astype(np.float32)
    drawn, masks, *_ = swapper.swap(faces)
    enlarged = faces.repeat(enlarge, axis=2).repeat(enlarge, axis=3)
    np.testing.assert_allclose(drawn, 1 - enlarged, atol=1e-6)
    np.testing.assert_array_equal(masks, np.broadcast_to(oval(SIZE_PX * enlarge), masks.shape))


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_results_do_not_depend_on_the_batch(swapper: Path, batch: int) -> None:
    faces = np.random.default_rng(1).random((7, 3, SIZE_PX, SIZE_PX)).astype(np.float32)
    whole, parts = (Swapper(swapper, batch=size).swap(faces) for size in (7, batch))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
