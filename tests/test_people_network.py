"""The network that tells people apart: against the same network as others converted it, and broken files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossface.engine.errors import BadInputError
from crossface.engine.runtime.onnx import OnnxRunner
from crossface.engine.video.reader import Reader
from crossface.engine.weights import dlib_net, locate

TAGS = (b"con_4", b"affine_", b"fc_2")


@pytest.mark.needs_people
@pytest.mark.needs_judges
def test_it_agrees_with_the_copy_of_others(clips: Path) -> None:
    """TensorFlow.js's copy has 8 bits a weight and its own reader; two people are 0.6 apart."""
    from judges.look import FOLDER, _weights
    from judges.networks import identity_network

    with Reader(clips / "single_face.mp4") as reader:
        luma = next(iter(reader)).planes[0]
    picture = luma[60:360:2, 170:470:2].astype(np.float32) / 255
    images = np.stack([picture, picture[:, ::-1], np.roll(picture, 9, 0)])[:, None].repeat(3, axis=1)
    theirs = identity_network(_weights(FOLDER, "face_recognition_model")).SerializeToString()
    (expected,) = OnnxRunner(theirs, name="judge", threads=1).run(images)
    (found,) = OnnxRunner(locate("face_identity"), threads=1).run(images)
    assert np.linalg.norm(found - expected, axis=1).max() < 0.1


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"con_4",
        b"con_4\x01\x02\x01\x05",
        b"con_4" + b"\x01\x02" + b"\x04\xff\xff\xff\x7f" * 4,
        b"con_4" + b"\x01\x02" + b"\x01\x02" * 4 + bytes(64),
        b"affine_" + b"\x01\x02" + b"\x01\x01" * 4 + bytes(4),
    ],
    ids=["empty", "only a name", "cut short", "larger than the file", "other sizes", "another layer"],
)
def test_a_file_that_is_not_dlibs(source: bytes) -> None:
    with pytest.raises(BadInputError, match="face_identity") as caught:
        dlib_net.convert(source)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=60), st.sampled_from(TAGS), st.binary(max_size=200))
def test_no_bytes_get_far(before: bytes, tag: bytes, after: bytes) -> None:
    with pytest.raises(BadInputError):
        dlib_net.convert(before + tag + after)


@pytest.mark.needs_people
def test_weights_are_fetched_only_where_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named with the command that brings it."""
    from crossface.engine.errors import ConfigurationError
    from crossface.engine.weights import face_models

    monkeypatch.setattr(face_models, "_folders", lambda: [tmp_path])
    with pytest.raises(ConfigurationError, match="crossface weights --people"):
        locate("face_identity")
    (tmp_path / "face_identity.onnx").write_bytes(os.urandom(100))
    with pytest.raises(ConfigurationError, match="not the file that Crossface made"):
        locate("face_identity")
