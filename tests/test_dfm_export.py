"""Models exported as DFM draw what they draw as our own, read by the rules of the tools that take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from make_faceset import TINY, make_faceset
from numpy.typing import NDArray

from crossface.engine.cli import main
from crossface.engine.errors import UsageError
from crossface.engine.provenance.consent import Consent
from crossface.engine.swap.model import Swapper
from crossface.training.checkpoint import load_average
from crossface.training.dfm import crop_in_whole_face, to_dfm
from crossface.training.export import export
from crossface.training.models import Person, SharedAutoencoder
from crossface.training.presets import PRESETS
from crossface.training.train import train

Picture = NDArray[np.uint8]
Read = Callable[[Path, Picture], list[NDArray[np.float32]]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has hardly been trained."""
    folder = tmp_path_factory.mktemp("dfm")
    a = make_faceset(folder / "a", 3, (200, 150, 120))
    b = make_faceset(folder / "b", 3, (120, 90, 70))
    list(train(a, b, folder / "model", preset=TINY, steps=5, threads=1, device="cpu"))
    return folder / "model"


@pytest.fixture(scope="module")
def dfms(model: Path) -> dict[Person, Path]:
    """Each person's face as a DFM."""
    people: tuple[Person, ...] = ("a", "b")
    return {to: export(model, to=to, output=model.parent / f"{to}.dfm", dfm=True) for to in people}


def _session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _by_substrings(path: Path, face_bgr: Picture) -> list[NDArray[np.float32]]:
    """The live player: names contain what it looks for, outputs go by place, one face a run."""
    session = _session(path)
    inputs = session.get_inputs()
    assert len(inputs) <= 2 and "in_face" in inputs[0].name and "float" in inputs[0].type
    height, width = inputs[0].shape[1:3]
    assert face_bgr.shape == (height, width, 3)
    drawn: list[NDArray[np.float32]] = session.run(None, {inputs[0].name: face_bgr[None] / np.float32(255)})
    return drawn


def _by_exact_names(path: Path, face_bgr: Picture) -> list[NDArray[np.float32]]:
    """The batch tool that feeds literal names."""
    session = _session(path)
    assert [node.name for node in session.get_inputs()] == ["in_face:0"]
    size = tuple(session.get_inputs()[0].shape[1:3])
    assert size == face_bgr.shape[:2]
    face = face_bgr.astype(np.float32) / 255
    drawn: list[NDArray[np.float32]] = session.run(None, {"in_face:0": face[None]})
    return drawn


def _by_buffers(path: Path, face_bgr: Picture) -> list[NDArray[np.float32]]:
    """The tool that makes its buffers before it runs: a side that is no number is 1."""
    session = _session(path)
    face = face_bgr[None].astype(np.float32) / 255
    binding = session.io_binding()
    binding.bind_input("in_face:0", "cpu", 0, np.float32, face.shape, face.ctypes.data)
    buffers = []
    for node in session.get_outputs():
        shape = [side if isinstance(side, int) else 1 for side in node.shape]
        buffers.append(np.full(shape, -1, np.float32))
        binding.bind_output(node.name, "cpu", 0, np.float32, shape, buffers[-1].ctypes.data)
    session.run_with_iobinding(binding)
    return buffers


def _inner(side_px: int, size_px: int, place: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a whole face where the network's crop is, clear of its faded edge."""
    edge = int(np.ceil(0.06 * size_px))
    left, top = place
    return slice(top + edge, top + size_px - edge), slice(left + edge, left + size_px - edge)


@pytest.mark.parametrize("read", [_by_substrings, _by_exact_names, _by_buffers])
@pytest.mark.parametrize("to", ["a", "b"])
def test_readers_of_such_files_get_the_face(
    model: Path, dfms: dict[Person, Path], read: Read, to: Person
) -> None:
    side_px, (left, top) = crop_in_whole_face(TINY)
    size_px = TINY.size_px
    face_bgr = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), np.uint8)
    face_mask, drawn, drawn_mask = read(dfms[to], face_bgr)
    assert face_mask.shape == drawn_mask.shape == (1, side_px, side_px, 1)
    assert drawn.shape == (1, side_px, side_px, 3)

    network = SharedAutoencoder(TINY).eval()
    load_average(model, network)
    crop_rgb = face_bgr[top : top + size_px, left : left + size_px, ::-1].astype(np.float32) / 255
    planes = torch.from_numpy(crop_rgb.transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        expected, other = (network(planes, who).numpy()[0] for who in (to, "b" if to == "a" else "a"))
    whole = np.zeros((side_px, side_px, 5), np.float32)
    whole[top : top + size_px, left : left + size_px] = np.concatenate([expected, other[3:]]).transpose(
        1, 2, 0
    )
    inner = _inner(side_px, size_px, (left, top))
    assert np.abs(drawn[0][inner] - whole[inner][..., 2::-1]).max() < 1e-3
    assert np.abs(drawn_mask[0][inner] - whole[inner][..., 3:4]).max() < 1e-3
    assert np.abs(face_mask[0][inner] - whole[inner][..., 4:]).max() < 1e-3
    # Around it there is no face, and what a reader sees that has no use for masks is the picture it gave.
    outside = np.ones((side_px, side_px), bool)
    outside[top : top + size_px, left : left + size_px] = False
    assert not face_mask[0][outside].any() and not drawn_mask[0][outside].any()
    np.testing.assert_allclose(drawn[0][outside], face_bgr[outside] / 255, atol=1e-6)


def test_both_kinds_of_file_draw_one_face(model: Path, dfms: dict[Person, Path], tmp_path: Path) -> None:
    """By our own loaders, with the same px of the face in both crops."""
    ours = Swapper(export(model, to="b", output=tmp_path / "b.onnx"), batch=2)
    theirs = Swapper(dfms["b"], batch=2)
    side_px, (left, top) = crop_in_whole_face(TINY)
    size_px = TINY.size_px
    assert (theirs.metadata.size_px, theirs.metadata.output_px) == (side_px, side_px)
    whole = np.random.default_rng(1).random((3, 3, side_px, side_px), np.float32)
    crop = whole[..., top : top + size_px, left : left + size_px]
    drawn, drawn_whole = ours.swap(crop), theirs.swap(whole)
    inner = _inner(side_px, size_px, (left, top))
    rows, columns = (
        slice(each.start - by, each.stop - by) for each, by in zip(inner, (top, left), strict=True)
    )
    assert np.abs(drawn_whole.faces[:, :, *inner] - drawn.faces[:, :, rows, columns]).max() < 1e-3
    assert (drawn_whole.masks[:, *inner] <= drawn.masks[:, rows, columns] + 1e-3).all()


def test_the_file_is_what_old_runtimes_know() -> None:
    preset = PRESETS["fast-128"]
    network = SharedAutoencoder(preset).eval()
    graph = to_dfm(network, "b")
    onnx.checker.check_model(graph, full_check=True)
    assert [(each.domain, each.version) for each in graph.opset_import] == [
        ("", 12)
    ] and graph.ir_version <= 8
    assert not graph.metadata_props and not graph.functions
    told: list[tuple[str, list[Any]]] = [
        (node.name, [side.dim_param or side.dim_value for side in node.type.tensor_type.shape.dim])
        for node in (*graph.graph.input, *graph.graph.output)
    ]
    side_px, _ = crop_in_whole_face(preset)
    assert told == [
        ("in_face:0", ["N", side_px, side_px, 3]),
        ("out_face_mask:0", ["N", side_px, side_px, 1]),
        ("out_celeb_face:0", ["N", side_px, side_px, 3]),
        ("out_celeb_face_mask:0", ["N", side_px, side_px, 1]),
    ]


def test_what_such_a_file_cannot_hold_is_refused(model: Path, tmp_path: Path) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("b.onnx", {"dfm": True}),
        ("b.dfm", {}),
        ("b.dfm", {"dfm": True, "precision": "fp16"}),
        ("b.dfm", {"dfm": True, "form": "winograd"}),
        ("b.dfm", {"dfm": True, "consent": Consent("form 17")}),
    ]
    for name, options in wrong:
        with pytest.raises(UsageError, match="--dfm"):
            export(model, to="b", output=tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_same_bytes_again(
    model: Path, dfms: dict[Person, Path], tmp_path: Path
) -> None:
    second = tmp_path / "second.dfm"
    with pytest.raises(SystemExit) as ended:
        main(["export", str(model), "--dfm", "-o", str(second)])
    assert not ended.value.code
    assert dfms["b"].read_bytes() == second.read_bytes()
