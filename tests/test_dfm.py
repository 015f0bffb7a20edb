"""DFM files are read as their makers mean them, whatever their size, or are refused in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from make_dfm import GAINS_BGR, MORPH, SIZE_PX, drawn_mask, face_mask, make_dfm
from make_model import make_swapper
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from test_convert import FFV1, comment, least_squares_similarity, run, sampled
from test_whole_face import MEAN_FACE, MOVED, POINTS_68

from crossface.engine import convert, kernels
from crossface.engine.clip import ReadingSettings
from crossface.engine.errors import BadInputError, InputMissingError, UsageError
from crossface.engine.face.align import apply, invert
from crossface.engine.face.faces_file import FacesFile
from crossface.engine.jobs.plan import disclosure
from crossface.engine.jobs.planning import planned_models
from crossface.engine.swap.mask import MaskSettings, hull
from crossface.engine.swap.model import Swapper, load_swappers, read_model
from crossface.engine.swap.whole_face import LANDMARK_OF
from crossface.engine.video.reader import Reader


def _faces(count: int, size_px: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).random((count, 3, size_px, size_px), np.float32)


def _expected(faces: NDArray[np.float32], gains_bgr: NDArray[np.float32]) -> NDArray[np.float32]:
    expected: NDArray[np.float32] = faces * gains_bgr[::-1, None, None]
    return expected


@pytest.mark.parametrize("size_px", [16, 97, 224, 320])
def test_faces_of_any_size_are_drawn_in_their_own_colours(tmp_path: Path, size_px: int) -> None:
    swapper = Swapper(make_dfm(tmp_path / "ada.dfm", size_px=size_px), batch=4)
    faces = _faces(5, size_px)
    drawn, masks, finite, _ = swapper.swap(faces)
    np.testing.assert_allclose(drawn, _expected(faces, GAINS_BGR), atol=1e-6)
    both = np.minimum(face_mask(size_px), drawn_mask(size_px))[..., 0]
    np.testing.assert_allclose(masks, np.broadcast_to(both * (both >= 1 / 255), masks.shape), atol=1e-6)
    assert finite.all()
    assert (swapper.metadata.size_px, swapper.metadata.output_px) == (size_px, size_px)


@pytest.mark.parametrize("told", [{"batch": 1}, {"batch": 3}, {"shapes": False}, {"reorder": True}], ids=str)
def test_files_of_other_makers_draw_the_same(tmp_path: Path, told: dict[str, Any]) -> None:
    """For so many faces at once, without the shapes of the outputs, or with these in another order."""
    faces = _faces(5, 96)
    one, other = (
        Swapper(make_dfm(tmp_path / f"{len(how)}.dfm", **how), batch=4).swap(faces) for how in ({}, told)
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_outputs_of_other_names_are_told_by_their_order(tmp_path: Path) -> None:
    names = {"out_face_mask:0": "a", "out_celeb_face:0": "b", "out_celeb_face_mask:0": "c"}
    faces = _faces(2, 96)
    drawn = Swapper(make_dfm(tmp_path / "named.dfm", rename=names)).swap(faces).faces
    np.testing.assert_allclose(drawn, _expected(faces, GAINS_BGR), atol=1e-6)


@pytest.mark.parametrize("morph", [0.0, 0.3, 1.0, None])
def test_the_morph_factor_reaches_the_network(tmp_path: Path, morph: float | None) -> None:
    path = make_dfm(tmp_path / "amp.dfm", morph=True)
    swapper = load_swappers({None: path}, batch=2, morph=morph)[None]
    faces = _faces(3, 96)
    share = 0.75 if morph is None else morph
    np.testing.assert_allclose(
        swapper.swap(faces).faces, _expected(faces, GAINS_BGR + (1 - GAINS_BGR) * share), atol=1e-6
    )


def test_a_morph_factor_that_nothing_takes_is_refused(tmp_path: Path) -> None:
    plain, morphing = make_dfm(tmp_path / "df.dfm"), make_dfm(tmp_path / "amp.dfm", morph=True)
    ours = make_swapper(tmp_path / "ours.onnx")
    with pytest.raises(UsageError, match="--morph"):
        load_swappers({None: plain, "1": ours}, batch=1, morph=0.5)
    assert set(load_swappers({None: plain, "1": morphing, "2": ours}, batch=1, morph=0.5)) == {None, "1", "2"}


def test_large_weights_are_used_where_they_lie(tmp_path: Path) -> None:
    """With a factor that becomes a weight beside them."""
    path = make_dfm(tmp_path / "amp.dfm", morph=True, size_px=256)
    graph = onnx.load(path)
    assert max(len(weight.raw_data) for weight in graph.graph.initializer) > 1 << 16
    faces = _faces(1, 256)
    drawn, masks, *_ = Swapper(path, morph=1.0).swap(faces)
    np.testing.assert_allclose(drawn, faces, atol=1e-6)
    assert masks.max() == 1


def test_who_is_drawn_is_what_the_file_is_called(tmp_path: Path) -> None:
    path = make_dfm(tmp_path / "Ada L.dfm", size_px=128)
    model = read_model(path)
    metadata = model.metadata
    assert (metadata.identity, metadata.consent, metadata.size_px) == ("Ada L", None, 128)
    sha256 = Swapper(path).sha256
    text = disclosure(planned_models({None: model}))
    assert "AI-generated" in text and f"identity Ada L, DFM {sha256[:16]}" in text


def test_what_is_no_number_is_told(tmp_path: Path) -> None:
    path = make_dfm(tmp_path / "amp.dfm", morph=True)
    assert not Swapper(path, morph=float("nan")).swap(_faces(2, 96)).finite.any()


def _pickle(path: Path) -> Path:
    path.write_bytes(pickle.dumps({"decoder_src/weight:0": np.zeros(3)}))
    return path


def _text(path: Path) -> Path:
    path.write_text("version https://git-lfs.github.com/spec/v1\nsize 718000000\n")
    return path


def _cut(path: Path) -> Path:
    content = make_dfm(path).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def _elsewhere(path: Path) -> Path:
    """Its weights lie beside it."""
    graph = onnx.load(make_dfm(path))
    onnx.save(graph, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (path.parent / "weights.bin").exists()
    return path


def _segmentation(path: Path) -> Path:
    """DeepFaceLab's network for masks: the same input, another purpose."""
    shapes = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 256, 256, channels])
        for name, channels in (("in_face:0", 3), ("out_mask:0", 1))
    ]
    first = numpy_helper.from_array(np.array([0]), "first")
    node = helper.make_node("Gather", ["in_face:0", "first"], ["out_mask:0"], axis=3)
    graph = helper.make_graph([node], "XSeg", shapes[:1], shapes[1:], [first])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), path)
    return path


def _made(**how: Any) -> Callable[[Path], Path]:
    return lambda path: make_dfm(path, **how)


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "pickle": (_pickle, "in DeepFaceLab"),
    "text": (_text, "export it again"),
    "empty": (lambda path: path.write_bytes(b"") * 0 or path, "export it again"),
    "cut": (_cut, "export it again"),
    "external": (_elsewhere, "as one file"),
    "ours": (make_swapper, "in_face:0"),
    "segmentation": (_segmentation, "out_celeb_face"),
    "name": (_made(rename={"in_face:0": "x"}), "in_face:0"),
    "second": (_made(morph=True, rename={MORPH: "style:0"}), "style:0"),
    "long morph": (_made(morph=True, changes={MORPH: [3]}), "more than one number"),
    "dynamic": (_made(side="S"), "no fixed size"),
    "rank": (_made(changes={"in_face:0": ["N", 96, 96]}), "N,R,R,3"),
    "planes": (_made(changes={"in_face:0": ["N", 3, 96, 96]}), "N,R,R,3"),
    "oblong": (_made(changes={"in_face:0": ["N", 96, 64, 3]}), "square"),
    "tiny": (_made(size_px=8), "16 to 4096"),
    "huge": (_made(side=8192), "16 to 4096"),
    "sizes": (_made(changes={"out_face_mask:0": ["N", 48, 48, 1]}), "differs in size"),
    "channels": (_made(changes={"out_celeb_face:0": ["N", 96, 96, 4]}), "N,R,R,3"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_dfm_is_refused_in_one_line(tmp_path: Path, bad: str) -> None:
    make, named = BAD[bad]
    path = make(tmp_path / "bad.dfm")
    for use in (read_model, Swapper):
        with pytest.raises(BadInputError) as caught:
            use(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ") and named in text and "\n" not in text


def test_a_file_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    path = make_dfm(
        tmp_path / "bad.dfm",
        changes={
            f"out_{name}:0": ["N", 48, 48, channels]
            for name, channels in (("face_mask", 1), ("celeb_face", 3), ("celeb_face_mask", 1))
        },
    )
    with pytest.raises(BadInputError, match="export it again"):
        Swapper(path).swap(_faces(1, 96))


def test_dfms_under_another_name_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"name it \.dfm"):
        read_model(make_dfm(tmp_path / "face.onnx"))
    with pytest.raises(InputMissingError):
        Swapper(tmp_path / "none.dfm")


def test_a_clip_is_converted_with_a_dfm(clips: Path, analysed: Callable[[str], Path], tmp_path: Path) -> None:
    """Its faces lie as DeepFaceLab lays them, and take the network's colours where both masks are."""
    model, film, faces = make_dfm(tmp_path / "Ada.dfm"), tmp_path / "out.mkv", analysed("single_face.mp4")
    settings = replace(FFV1, mask=MaskSettings(feather=0.01))
    reading = ReadingSettings(end="3")
    clip = clips / "single_face.mp4"
    finished, _ = run(convert(clip, model, film, faces=faces, settings=settings, reading=reading))
    assert (finished.frames, finished.faces) == (4, 4)
    assert "identity Ada, DFM" in comment(film)
    places = {LANDMARK_OF[point]: place for point, place in zip(POINTS_68, MEAN_FACE + MOVED, strict=True)}
    side = 1 + 0.8 * np.sqrt(2)
    crop_px = ((np.array(list(places.values())) - [0.5, 0.43]) / side + 0.5) * SIZE_PX
    both = np.minimum(face_mask(SIZE_PX), drawn_mask(SIZE_PX))[..., 0]
    with Reader(clip) as before, Reader(film) as after:
        for old, new, line in zip(before, after, FacesFile(faces), strict=False):
            (face,) = line.faces
            to_crop = least_squares_similarity(face.landmarks[list(places)], crop_px)
            weight = sampled(
                both * hull(apply(to_crop, face.landmarks), SIZE_PX), to_crop, old.planes[0].shape
            )
            changed = old.planes[0] != new.planes[0]
            assert not changed[weight == 0].any() and changed[weight > 0.9].mean() > 0.99
            crops = [kernels.crop(frame, invert(to_crop)[None], SIZE_PX)[0] for frame in (old, new)]
            middle = slice(SIZE_PX // 2 - 8, SIZE_PX // 2 + 8)
            was, became = (np.clip(crop, 0, 1)[:, middle, middle].mean((1, 2)) for crop in crops)
            np.testing.assert_allclose(became, was * GAINS_BGR[::-1], atol=0.02)
