"""Networks in bytes: the picture stays, the file shrinks, and the same faces give the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from make_faceset import TINY, make_faceset
from numpy.typing import NDArray
from onnx import numpy_helper

from crossface.engine.errors import BadInputError, InputMissingError
from crossface.engine.swap.model import Swapper
from crossface.training.export import export, to_onnx
from crossface.training.faceset import Faceset
from crossface.training.models import SharedAutoencoder
from crossface.training.quantize import quantized
from crossface.training.store import load_store
from crossface.training.train import train

BT709 = np.array([0.2126, 0.7152, 0.0722], np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Facesets a and b, faces of a that nothing was made from, and a trained model."""
    folder = tmp_path_factory.mktemp("quantize")
    a = make_faceset(folder / "a", 6, (200, 150, 120))
    b = make_faceset(folder / "b", 6, (120, 90, 70))
    make_faceset(folder / "other", 4, (190, 145, 125), seed=9)
    list(
        train(
            a,
            b,
            folder / "model",
            preset=TINY,
            steps=150,
            batch=4,
            learning_rate=4e-3,
            threads=1,
            device="cpu",
        )
    )
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> tuple[Path, Path]:
    """B's face in float and in bytes."""
    fp32 = export(folder / "model", to="b", output=folder / "fp32.onnx")
    int8 = export(
        folder / "model", to="b", output=folder / "int8.onnx", precision="int8", calibrate=folder / "a"
    )
    return fp32, int8


def _faces(folder: Path) -> NDArray[np.float32]:
    store = load_store(Faceset.load(folder), TINY, torch.device("cpu"))
    faces: NDArray[np.float32] = store.centred(list(range(len(store))), TINY.size_px)[:, :3].numpy()
    return faces


def _luma(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return 255 * np.tensordot(pictures, BT709, (1, 0))


def _gradient_energy(luma: NDArray[np.float32]) -> float:
    return float((np.diff(luma, axis=1) ** 2).sum() + (np.diff(luma, axis=2) ** 2).sum())


def test_the_picture_stays_on_faces_that_were_not_calibrated_on(
    folder: Path, models: tuple[Path, Path]
) -> None:
    faces = _faces(folder / "other")
    (drawn, masks, *_), (drawn_int8, masks_int8, *_) = (Swapper(model).swap(faces) for model in models)
    expected, made = _luma(drawn), _luma(drawn_int8)
    off = np.abs(made - expected)
    assert 0 < off.mean() <= 1 and np.percentile(off, 99) <= 4
    assert 0.97 <= _gradient_energy(made) / _gradient_energy(expected) <= 1.03
    assert np.abs(masks_int8 - masks).mean() <= 1 / 255
    # What is compared is a picture, not a flat field.
    assert expected.std() > 10


def test_all_work_but_the_output_is_in_integers(folder: Path, models: tuple[Path, Path]) -> None:
    graph = onnx.load(models[1]).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    floats = sum(value.size for value in weights.values() if value.dtype == np.float32)
    codes = sum(value.size for value in weights.values() if value.dtype == np.int8)
    output = weights[[node for node in graph.node if node.op_type == "Conv"][-1].input[1]]
    assert output.dtype == np.float32 and floats < output.size + 0.02 * codes
    # The runtime finds its integer kernels in what we wrote: no float convolution is left but the last.
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(models[1], options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]
    assert kinds.count("Conv") == 1 and kinds.count("QuantizeLinear") == 1
    assert kinds.count("QLinearConv") == len([n for n in graph.node if n.op_type == "Conv"]) - 1


def test_the_same_faces_give_the_same_bytes(folder: Path, models: tuple[Path, Path]) -> None:
    def exported(name: str, faces: str) -> bytes:
        return export(
            folder / "model",
            to="b",
            output=folder / name,
            precision="int8",
            calibrate=folder / faces,
        ).read_bytes()

    assert exported("again.onnx", "a") == models[1].read_bytes()
    assert exported("others.onnx", "b") != models[1].read_bytes()


def test_the_file_is_whole_and_says_what_it_is(models: tuple[Path, Path]) -> None:
    assert [Swapper(model).metadata.precision for model in models] == ["fp32", "int8"]
    graph = onnx.load(models[1], load_external_data=False)
    onnx.checker.check_model(graph, full_check=True)
    assert graph.producer_name == "crossface"
    assert {entry.domain for entry in graph.opset_import} == {""}
    for tensor in graph.graph.initializer:
        assert tensor.data_location == onnx.TensorProto.DEFAULT


def test_channels_without_weights_keep_their_bias(folder: Path) -> None:
    torch.manual_seed(0)
    network = SharedAutoencoder(TINY).eval()
    with torch.no_grad():
        first = network.encoder.down[0]
        first.weight[:4] = 0  # type: ignore[index, operator]
        first.bias[:4] = torch.tensor([0.0, 0.5, -0.5, 30.0])  # type: ignore[index, operator]
    faces = _faces(folder / "a")
    model = to_onnx(network, "a", form="direct")
    inner = model.graph.node[0].output[0]
    small = quantized(model, Faceset.load(folder / "a"), TINY)
    small.graph.output.append(onnx.helper.make_empty_tensor_value_info(f"{inner}.real"))
    session = onnxruntime.InferenceSession(small.SerializeToString(), providers=["CPUExecutionProvider"])
    made = session.run([f"{inner}.real"], {"face": faces})[0][:, :4]
    np.testing.assert_allclose(made.mean(axis=(0, 2, 3)), [0.0, 0.5, -0.5, 30.0], atol=0.15)


def test_a_network_without_numbers_is_refused(folder: Path) -> None:
    network = SharedAutoencoder(TINY).eval()
    with torch.no_grad():
        network.encoder.to_latent.bias[3] = float("nan")
    with pytest.raises(BadInputError, match="no numbers"):
        quantized(to_onnx(network, "a", form="direct"), Faceset.load(folder / "a"), TINY)


def test_a_missing_faceset_is_named_and_nothing_is_left(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputMissingError, match="none"):
        export(
            folder / "model",
            to="b",
            output=tmp_path / "swap.onnx",
            precision="int8",
            calibrate=folder / "none",
        )
    assert not list(tmp_path.iterdir())
