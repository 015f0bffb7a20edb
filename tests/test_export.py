"""Exported models: the same picture as PyTorch draws, in a file that says how it must be used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from make_faceset import TINY, make_faceset
from numpy.typing import NDArray

from crossface.engine.errors import BadInputError, InputMissingError, OutputExistsError, UsageError
from crossface.engine.face.align import TEMPLATE
from crossface.engine.provenance.consent import Consent
from crossface.engine.swap.model import METADATA_KEY, ModelMetadata
from crossface.training.checkpoint import load_average
from crossface.training.export import Form, Precision, export, to_onnx
from crossface.training.model_card import MODEL_NAME, ModelCard
from crossface.training.models import Person, SharedAutoencoder, parameter_count
from crossface.training.presets import PRESETS
from crossface.training.train import train


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose decoders have parted, and whose average differs from its weights."""
    folder = tmp_path_factory.mktemp("export")
    a = make_faceset(folder / "a", 3, (200, 150, 120))
    b = make_faceset(folder / "b", 3, (120, 90, 70))
    names = {"identity_a": "Ada", "identity_b": "Bela"}
    list(
        train(
            a,
            b,
            folder / "model",
            preset=TINY,
            steps=60,
            learning_rate=4e-3,
            threads=1,
            device="cpu",
            **names,
        )
    )
    return folder / "model"


@pytest.fixture(scope="module")
def exported(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """B's face in every precision."""
    folder = tmp_path_factory.mktemp("onnx")
    return {
        precision: export(
            model,
            to="b",
            output=folder / f"{precision}.onnx",
            precision=precision,
            calibrate=model.parent / "a" if precision == "int8" else None,
        )
        for precision in get_args(Precision)
    }


def _faces(count: int, size_px: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).random((count, 3, size_px, size_px), np.float32)


def _loaded(file: Path | bytes) -> onnxruntime.InferenceSession:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_outputs()] == ["swapped", "mask"]
    return session


def _run(file: Path | bytes, faces: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    outputs: list[NDArray[np.floating]] = _loaded(file).run(None, {"face": faces})
    return outputs


def _drawn(network: SharedAutoencoder, faces: NDArray[np.float32], person: Person) -> NDArray[np.float32]:
    with torch.no_grad():
        drawn: NDArray[np.float32] = network(torch.from_numpy(faces), person).numpy()
    return drawn


def _assert_parity(file: Path | bytes, network: SharedAutoencoder, person: Person) -> None:
    session = _loaded(file)
    for count in (1, 3):
        faces = _faces(count, network.preset.size_px)
        swapped, mask = session.run(None, {"face": faces})
        expected = _drawn(network, faces, person)
        assert swapped.shape == faces.shape and mask.shape == (count, 1, *faces.shape[2:])
        assert np.abs(swapped - expected[:, :3]).max() <= 1e-4
        assert np.abs(mask - expected[:, 3:]).max() <= 1e-4


@pytest.mark.parametrize(
    ("name", "form"), [("original-64", "auto"), ("fast-128", "auto"), ("fast-128", "winograd")]
)
def test_an_exported_preset_draws_what_pytorch_draws(name: str, form: Form) -> None:
    torch.manual_seed(0)
    network = SharedAutoencoder(PRESETS[name]).eval()
    _assert_parity(to_onnx(network, "a", form=form).SerializeToString(), network, "a")


def test_a_checkpoint_is_exported_by_its_averaged_weights(model: Path, exported: dict[str, Path]) -> None:
    network = SharedAutoencoder(TINY).eval()
    load_average(model, network)
    _assert_parity(exported["fp32"], network, "b")
    faces = _faces(1, TINY.size_px)
    assert np.abs(_run(exported["fp32"], faces)[0] - _drawn(network, faces, "a")[:, :3]).max() > 1e-3


@pytest.mark.parametrize("precision", ["fp16", "fp16-storage"])
def test_half_precision_halves_the_file_and_keeps_the_picture(precision: Precision) -> None:
    torch.manual_seed(0)
    network = SharedAutoencoder(PRESETS["fast-128"]).eval()
    file = to_onnx(network, "b", precision).SerializeToString()
    assert len(file) < 0.51 * 4 * (parameter_count(network.encoder) + parameter_count(network.decoder_b))
    dtype = np.float16 if precision == "fp16" else np.float32
    faces = _faces(2, 128)
    for made, expected in zip(
        _run(file, faces.astype(dtype)), np.split(_drawn(network, faces, "b"), [3], axis=1), strict=True
    ):
        assert made.dtype == dtype
        assert np.abs(made.astype(np.float32) - expected).max() < 2e-3


def test_the_file_says_how_it_must_be_used(model: Path, tmp_path: Path) -> None:
    file = export(model, to="a", output=tmp_path / "a.onnx", consent=Consent("form 17"))
    graph = onnx.load(file)
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    metadata = ModelMetadata.from_json(properties.pop(METADATA_KEY))
    assert not properties
    assert (metadata.identity, metadata.consent, metadata.steps) == ("Ada", Consent("form 17"), 60)
    assert (metadata.size_px, metadata.output_px, metadata.coverage) == (32, 32, TINY.coverage)
    assert metadata.template == dict(TEMPLATE)
    assert len(metadata.data_hash) == 64
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 18)]


def test_a_card_beside_the_file_says_what_it_learnt_from(model: Path, tmp_path: Path) -> None:
    output = export(model, to="b", output=tmp_path / "ben.onnx", consent=Consent("form 7"))
    page = (tmp_path / "ben.card.md").read_text()
    card = ModelCard.read(model)
    for said in (
        f"`{output.name}`",
        "form 7",
        card.data_hash,
        card.preset.name,
        f"{card.faces_b} of {card.identity_b}",
    ):
        assert said in page
    assert not (tmp_path / "ben.card.png").exists()

    export(model, to="b", output=output, picture=True, overwrite=True)
    page = (tmp_path / "ben.card.md").read_text()
    assert "none on file" in page and "(ben.card.png)" in page
    assert (tmp_path / "ben.card.png").read_bytes() == (model / "preview.png").read_bytes()


def test_a_card_without_its_picture_is_an_error_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(model, tmp_path / "model")
    (copy / "preview.png").unlink()
    with pytest.raises(InputMissingError, match=r"preview\.png.*leave out --picture"):
        export(copy, to="b", output=tmp_path / "ben.onnx", picture=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_no_trace_of_the_machine_is_left(model: Path, exported: dict[str, Path], tmp_path: Path) -> None:
    for file in exported.values():
        graph = onnx.load(file)
        for weight in graph.graph.initializer:
            weight.ClearField("raw_data")
        content = graph.SerializeToString()
        assert b".py" not in content and b"site-packages" not in content
        assert str(Path(__file__).parents[1]).encode() not in content
    again = export(model, to="b", output=tmp_path / "again.onnx")
    assert again.read_bytes() == exported["fp32"].read_bytes()


def test_options_that_need_each_other(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "swap.onnx"
    with pytest.raises(UsageError, match="--calibrate"):
        export(model, to="b", output=file, precision="int8")
    with pytest.raises(UsageError, match="--calibrate"):
        export(model, to="b", output=file, calibrate=model.parent / "a")
    with pytest.raises(UsageError, match="--form"):
        export(model, to="b", output=file, precision="fp16", form="winograd")
    with pytest.raises(UsageError, match="--morph is for liae"):
        export(model, to="b", output=file, morph=0.5)
    with pytest.raises(UsageError, match="--morph 2: give a number from 0 to 1"):
        export(model, to="b", output=file, morph=2)
    assert not file.exists()


def test_an_existing_file_is_kept_unless_asked(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "swap.onnx"
    file.write_text("precious")
    with pytest.raises(OutputExistsError):
        export(model, to="b", output=file)
    assert file.read_text() == "precious"
    export(model, to="b", output=file, overwrite=True)
    onnx.checker.check_model(onnx.load(file))


def test_what_is_no_model_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match=r"model\.json"):
        export(tmp_path / "none", to="b", output=tmp_path / "swap.onnx")
    (tmp_path / MODEL_NAME).write_text("{}")
    with pytest.raises(BadInputError, match=r"model\.json"):
        export(tmp_path, to="b", output=tmp_path / "swap.onnx")
    assert [path.name for path in tmp_path.iterdir()] == [MODEL_NAME]
