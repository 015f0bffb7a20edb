"""A swapper under trouble: what is no number is drawn again, what finds no memory is an error of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from make_model import SIZE_PX, make_swapper, metadata
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from test_convert import QUICK, run

from crossface.engine import convert
from crossface.engine.errors import BadInputError
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.swap.model import METADATA_KEY, Swapper


def _fragile(path: Path, precision: str, *, white_faces: float = 2.5) -> Path:
    """Gives each face back, but no number where a batch is brighter than so many white faces."""
    most = np.array(white_faces * 3 * SIZE_PX**2, np.float32)
    constants = {"most": most, "nothing": np.array(0, np.float32), "first": np.array([0])}
    nodes = [
        helper.make_node("ReduceSum", ["face"], ["sum"], keepdims=0),
        helper.make_node("Sub", ["most", "sum"], ["left"]),
        helper.make_node("Sqrt", ["left"], ["root"]),
        helper.make_node("Mul", ["root", "nothing"], ["zero"]),
        helper.make_node("Add", ["face", "zero"], ["swapped"]),
        helper.make_node("Gather", ["swapped", "first"], ["mask"], axis=1),
    ]
    shapes = {"face": 3, "swapped": 3, "mask": 1}
    face, *outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, SIZE_PX, SIZE_PX])
        for name, channels in shapes.items()
    )
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "fragile", [face], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: metadata(precision=precision).to_json()})
    onnx.save(model, str(path))
    return path


def _faces(count: int, value: float) -> NDArray[np.float32]:
    return np.full((count, 3, SIZE_PX, SIZE_PX), value, np.float32)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_faces_that_were_no_numbers_are_drawn_again_alone(tmp_path: Path, precision: str) -> None:
    path = _fragile(tmp_path / "fragile.onnx", precision)
    faces = np.concatenate([_faces(4, 1.0), _faces(2, 0.25)])
    assert np.isnan(OnnxRunner(path).run(faces)[0]).all()
    drawn, masks, finite, redrawn = Swapper(path, batch=6).swap(faces)
    np.testing.assert_array_equal(drawn, faces)
    np.testing.assert_array_equal(masks, faces[:, 0])
    assert finite.all() and redrawn.all()


def test_the_report_tells_of_faces_that_were_drawn_again(clips: Path, tmp_path: Path) -> None:
    model, film = _fragile(tmp_path / "fragile.onnx", "fp32", white_faces=0.95), tmp_path / "out.mp4"
    finished, warnings = run(convert(clips / "single_face.mp4", model, film, settings=QUICK))
    report = json.loads((tmp_path / "out.mp4.job" / "report.json").read_text())
    # A batch with one face only is as dark as that face.
    assert finished.faces - 2 <= report["faces_in_fp32"] <= finished.faces
    assert report["faces_not_a_number"] == 0
    assert any("second run of the network" in each for each in [*warnings, *report["warnings"]])


def test_what_stays_no_number_comes_through_and_spares_the_others(tmp_path: Path) -> None:
    swapper = Swapper(make_swapper(tmp_path / "inverting.onnx"), batch=3)
    faces = np.random.default_rng(0).random((7, 3, SIZE_PX, SIZE_PX)).astype(np.float32)
    faces[4, 1, 2, 3] = np.nan
    drawn, masks, finite, redrawn = swapper.swap(faces)
    assert np.isnan(drawn[4]).any()
    assert finite.tolist() == [n != 4 for n in range(7)] and not redrawn.any()
    others = [n for n in range(7) if n != 4]
    np.testing.assert_allclose(drawn[others], 1 - faces[others], atol=1e-6)
    assert np.isfinite(masks[others]).all()


def test_a_model_that_was_replaced_is_not_mixed_in(tmp_path: Path) -> None:
    path = _fragile(tmp_path / "fragile.onnx", "int8")
    swapper = Swapper(path, batch=4)
    path.unlink()
    make_swapper(path)
    with pytest.raises(BadInputError, match="changed while it was in use"):
        swapper.swap(_faces(4, 1.0))


def test_no_faces_are_no_error(swapper: Path) -> None:
    drawn, masks, *_ = Swapper(swapper).swap(_faces(0, 0.0))
    assert drawn.shape == (0, 3, SIZE_PX, SIZE_PX) and masks.shape == (0, SIZE_PX, SIZE_PX)


_SHORT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from crossface.engine.errors import OutOfMemoryError
from crossface.engine.swap.model import Swapper

path, faces, spare_bytes = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
swapper = Swapper(path, batch=faces, threads=1)
batch = np.zeros((faces, 3, swapper.metadata.size_px, swapper.metadata.size_px), np.float32)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + spare_bytes
_, most = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (limit, most))
try:
    swapper.swap(batch)
except OutOfMemoryError as error:
    print(error)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
"""


# In the first a picture finds no memory, in the second a tensor inside the network.
@pytest.mark.parametrize("spare_bytes", [10_000_000, 105_000_000])
def test_memory_that_is_not_there_names_the_batch(swapper: Path, spare_bytes: int) -> None:
    command = [sys.executable, "-c", _SHORT_OF_MEMORY, str(swapper), "512", str(spare_bytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--batch" in done.stdout and str(swapper) in done.stdout and done.stdout.count("\n") == 1
