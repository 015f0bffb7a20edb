"""Face models: found, checked, converted without loss."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from crossface.engine import weights
from crossface.engine.errors import BadInputError, ConfigurationError, OutputError
from crossface.engine.weights import face_models, pinned

Floats = NDArray[np.float32]
REAL_FOLDER = face_models.PACKAGE_FOLDER


@pytest.fixture(scope="session")
def originals() -> Path:
    folder = Path(__file__).parents[1] / "build" / "originals"
    if not folder.is_dir():
        pytest.fail(f'{folder}: the published models are not there; run "make setup"', pytrace=False)
    return folder


def session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(weights.locate(name), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="session")
def picture(clips: Path) -> Floats:
    """A frame with one face, RGB 0..255, [352, 640, 3] so that both sides are multiples of 32."""
    with av.open(clips / "WolfgangLanger_Pexels.mp4") as container:
        frame = next(container.decode(video=0))
        return frame.to_ndarray(format="rgb24")[:352].astype(np.float32)


@pytest.fixture(scope="session")
def face(picture: Floats) -> dict[str, Any]:
    """The strongest face that CenterFace sees, decoded as ``convert`` says, in px of the picture."""
    planes = picture.transpose(2, 0, 1)[None]
    heatmap, size, offset, landmarks = session("centerface").run(None, {"image": planes})
    row, column = np.unravel_index(heatmap[0, 0].argmax(), heatmap[0, 0].shape)
    height, width = 4 * np.exp(size[0, :, row, column])
    y, x = 4 * (np.array([row, column]) + 0.5 + offset[0, :, row, column])
    points = landmarks[0, :, row, column].reshape(5, 2)[:, ::-1]
    return {
        "score": heatmap.max(),
        "centre": np.array([x, y]),
        "size": np.array([width, height]),
        "points": np.array([x, y]) + (points - 0.5) * [width, height],
    }


def square(picture: Floats, centre: NDArray[Any], side: float, pixels: int) -> Floats:
    """Nearest-sample crop, black outside the picture, [pixels, pixels, 3]."""
    steps = ((np.arange(pixels) + 0.5) / pixels - 0.5) * side
    columns, rows = (np.floor(middle + steps).astype(int) for middle in centre)
    inside = ((rows >= 0) & (rows < len(picture)))[:, None] & ((columns >= 0) & (columns < picture.shape[1]))
    crop = picture[np.clip(rows, 0, len(picture) - 1)][:, np.clip(columns, 0, picture.shape[1] - 1)]
    return np.where(inside[..., None], crop, 0).astype(np.float32)


@pytest.fixture(scope="session")
def crops(picture: Floats, face: dict[str, Any]) -> dict[str, Floats]:
    """For each converted model three inputs, channels last: a real face twice as framed, and noise."""
    noise = np.random.default_rng(7)

    def stack(pixels: int, scale: float) -> Floats:
        side = scale * face["size"].max()
        framed = [square(picture, face["centre"], zoom * side, pixels) / 255 for zoom in (1.0, 1.3)]
        return np.stack([*framed, noise.uniform(0, 1, (pixels, pixels, 3)).astype(np.float32)])

    return {"face_mesh": stack(192, 1.5), "blazeface_back": stack(256, 2.0) * 2 - 1}


def run(name: str, batch: Floats) -> dict[str, Floats]:
    model = session(name)
    results = model.run(None, {"image": np.ascontiguousarray(batch.transpose(0, 3, 1, 2))})
    return {output.name: result for output, result in zip(model.get_outputs(), results, strict=True)}


def test_centerface_finds_the_face_where_the_mesh_sees_it(
    face: dict[str, Any], crops: dict[str, Floats]
) -> None:
    assert face["score"] > 0.8
    mesh = run("face_mesh", crops["face_mesh"][:1])
    assert mesh["presence"][0, 0] > 0.9
    side = 1.5 * face["size"].max()
    points = mesh["landmarks"][0, :, :2] / 192 * side + face["centre"] - side / 2
    # Mesh points: corners of both eyes, nose tip, mouth corners.
    seen = np.stack([points[group].mean(0) for group in ([33, 133], [263, 362], [4], [61], [291])])
    assert np.abs(seen - face["points"]).max() < 0.05 * face["size"].max()


def test_blazeface_decodes_to_the_same_face(face: dict[str, Any], crops: dict[str, Floats]) -> None:
    found = run("blazeface_back", crops["blazeface_back"][:1])
    best = int(found["scores"][0].argmax())
    cells, cell = (16, best // 2) if best < 512 else (8, (best - 512) // 6)
    anchor = (np.array([cell % cells, cell // cells]) + 0.5) * 256 / cells
    pairs = found["regressors"][0, best].reshape(8, 2)
    to_picture = 2.0 * face["size"].max() / 256
    eyes_and_nose = (pairs[2:5] + anchor - 128) * to_picture + face["centre"]
    assert found["scores"].max() > 0
    assert np.abs(eyes_and_nose - face["points"][:3]).max() < 0.05 * face["size"].max()


@pytest.mark.parametrize("size", [(384, 640), (192, 320)])
def test_centerface_takes_any_batch_and_size(size: tuple[int, int]) -> None:
    model = session("centerface")
    batch = np.random.default_rng(1).uniform(0, 255, (3, 3, *size)).astype(np.float32)
    together = model.run(None, {"image": batch})
    assert [result.shape for result in together] == [
        (3, channels, size[0] // 4, size[1] // 4) for channels in (1, 2, 2, 10)
    ]
    for k in range(3):
        for result, alone in zip(together, model.run(None, {"image": batch[k : k + 1]}), strict=True):
            np.testing.assert_allclose(result[k], alone[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["face_mesh", "blazeface_back"])
def test_batch_of_three_equals_three_batches(name: str, crops: dict[str, Floats]) -> None:
    together = run(name, crops[name])
    for k in range(3):
        for output, alone in run(name, crops[name][k : k + 1]).items():
            np.testing.assert_allclose(together[output][k], alone[0], rtol=0, atol=1e-4)


@pytest.mark.needs_litert
@pytest.mark.parametrize("name", ["face_mesh", "blazeface_back"])
def test_conversion_agrees_with_litert(name: str, crops: dict[str, Floats], originals: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=(originals / name).read_bytes())
    interpreter.allocate_tensors()
    published = {"landmarks": "conv2d_20", "presence": "conv2d_30", "scores": "classificators"}
    for k in range(3):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crops[name][k : k + 1])
        interpreter.invoke()
        details = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
        for output, converted in run(name, crops[name][k : k + 1]).items():
            expected = interpreter.get_tensor(details[published.get(output, output)]).reshape(converted.shape)
            if output == "presence":
                expected = 1 / (1 + np.exp(-expected.astype(np.float64)))
            # A probability's range is 0..1, whatever the one value here.
            scale = 1.0 if output == "presence" else np.ptp(expected)
            assert np.abs(converted - expected).max() < 1e-3 * scale, output


@pytest.mark.parametrize("name", weights.FACE_MODELS)
def test_conversion_gives_the_pinned_bytes_each_time(name: str, originals: Path) -> None:
    from crossface.engine.weights import convert

    source = (originals / name).read_bytes()
    for _ in range(2):
        made = getattr(convert, name)(source).SerializeToString(deterministic=True)
        assert hashlib.sha256(made).hexdigest() == weights.FACE_MODELS[name].sha256


def test_unknown_operator_is_named(originals: Path) -> None:
    import tflite

    from crossface.engine.weights import convert

    source = bytearray((originals / "face_mesh").read_bytes())
    model = tflite.Model.GetRootAs(source, 0)
    codes = [model.OperatorCodes(k) for k in range(model.OperatorCodesLength())]
    prelu = next(code for code in codes if code.DeprecatedBuiltinCode() == tflite.BuiltinOperator.PRELU)
    # Field 0 of the table, at vtable offset 4, is the one-byte code that old files use.
    source[prelu._tab.Pos + prelu._tab.Offset(4)] = tflite.BuiltinOperator.ELU
    with pytest.raises(BadInputError, match="operator ELU is not supported"):
        convert.face_mesh(bytes(source))
    with pytest.raises(BadInputError, match="not a TFLite file"):
        convert.face_mesh(b"no such thing")


@pytest.fixture
def empty_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The three folders that are searched, in order, none of which exists yet."""
    chosen, package, data = tmp_path / "chosen", tmp_path / "package", tmp_path / "data"
    monkeypatch.setenv("CROSSFACE_WEIGHTS", str(chosen))
    monkeypatch.setattr(face_models, "PACKAGE_FOLDER", package)
    monkeypatch.setenv("XDG_DATA_HOME", str(data))
    return [chosen, package, data / "crossface" / "weights"]


def test_search_order(empty_places: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = (REAL_FOLDER / "face_mesh.onnx").read_bytes()
    for folder in reversed(empty_places):
        pinned.write_whole(folder / "face_mesh.onnx", mesh)
        assert weights.locate("face_mesh") == folder / "face_mesh.onnx"
    monkeypatch.delenv("CROSSFACE_WEIGHTS")
    assert weights.locate("face_mesh") == empty_places[1] / "face_mesh.onnx"


def test_missing_model_says_what_to_run(empty_places: list[Path]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        weights.locate("centerface")
    message = str(caught.value)
    assert 'run "crossface weights"' in message and "centerface.onnx" in message and "\n" not in message
    assert all(str(folder) in message for folder in empty_places)


def test_one_changed_byte_is_an_error_even_if_a_good_copy_follows(empty_places: list[Path]) -> None:
    mesh = bytearray((REAL_FOLDER / "face_mesh.onnx").read_bytes())
    pinned.write_whole(empty_places[1] / "face_mesh.onnx", bytes(mesh))
    mesh[len(mesh) // 2] ^= 1
    pinned.write_whole(empty_places[0] / "face_mesh.onnx", bytes(mesh))
    with pytest.raises(ConfigurationError) as caught:
        weights.locate("face_mesh")
    message = str(caught.value)
    assert str(empty_places[0] / "face_mesh.onnx") in message and 'run "crossface weights"' in message


def test_fetch_leaves_whole_files_alone() -> None:
    folder = REAL_FOLDER
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.onnx")}
    assert weights.fetch(folder) == [folder / f"{name}.onnx" for name in weights.FACE_MODELS]
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.onnx")} == before
    assert "Apache" in (folder / "NOTICE.md").read_text()


@pytest.fixture
def local_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pinned.Package:
    """An index of one wheel, ``tiny==1.0``, that the real pip reads."""
    archive = tmp_path / "index" / "tiny-1.0-py3-none-any.whl"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("tiny/data", b"content")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(archive.parent))
    return pinned.Package("tiny==1.0", hashlib.sha256(archive.read_bytes()).hexdigest())


def test_pinned_member_is_read(local_index: pinned.Package) -> None:
    member = pinned.Member("tiny/data", hashlib.sha256(b"content").hexdigest())
    assert pinned.fetch_members(local_index, [member]) == [b"content"]


def test_wrong_pins_are_errors(local_index: pinned.Package) -> None:
    good = pinned.Member("tiny/data", hashlib.sha256(b"content").hexdigest())
    for package, member in [
        (pinned.Package("tiny==1.0", "0" * 64), good),
        (pinned.Package("tiny==2.0", local_index.sha256), good),
        (local_index, pinned.Member("tiny/data", "0" * 64)),
        (local_index, pinned.Member("tiny/absent", good.sha256)),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            pinned.fetch_members(package, [member])
        assert "tiny" in str(caught.value) or "HASHES" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_unwritable_folder_is_an_output_error_and_leaves_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(OutputError, match=r"file/weights/x\.onnx: cannot be written"):
        pinned.write_whole(blocked / "weights" / "x.onnx", b"content")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError):
        pinned.write_whole(tmp_path / "taken", b"content")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]
