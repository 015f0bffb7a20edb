"""Sequences for compositors, written beside the film as it is converted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..errors import UsageError
from ..face.align import Affine
from ..frame import Frame
from ..kernels import NO_GRAIN, Grain, Mark
from ..lifetime import Output
from ..sequence.name import SequenceName
from ..sequence.new_picture import about, write_picture
from ..sequence.numbered_files import NumberedFiles
from ..sequence.picture import FLOAT_BITS, FORMATS, Samples, openimageio
from ..sequence.source_picture import SourcePicture
from ..video.info import VideoInfo
from .holdout import Holdout, kept
from .layers import FaceLayer, face_layer

Pattern = SequenceName | Path | str


class CompositorOutputs(Output):
    """Matte, layer and ST-map of every frame, and the holdout matte that narrows the blend.

    All pictures have the frame's size; EXR holds float32, PNG and TIFF 16 bits.

    * matte: the share of the swapped face in every luma sample, in all channels alike; less where highlights
      of the source stay, and where a holdout is.
    * layer: the swapped face over transparent black, premultiplied: ``layer + (1 - matte) * source`` is the
      converted frame, to one code value; of EXR always, of PNG and TIFF where the face itself stays within
      0..1. (PNG stores straight colour, as its standard says.) For a film and for display-referred pictures
      these are R'G'B' codes (of a PQ or HLG film, in that curve), to be read raw; for scene-linear and
      logarithmic pictures the file's own values.
    * stmap: in R and G where a pixel lies in the aligned crop, u to the right and v upwards, 0..1; in B (EXR:
      also in A) the matte. 0 outside the crop.

    Call ``blend`` for each face, then ``write`` for each frame, before it goes to the writer. Frames may
    overlap, as in batches.

    Args:
        source: ``info`` of what the frames come from.
        matte: pattern of the matte's files, ``.exr``, ``.png`` or ``.tif``; None for no matte.
        layer: as ``matte``.
        stmap: as ``matte``.
        holdout: a sequence or film of the same frames; see `Holdout`.
        overwrite: replace pictures that are there.
        comment: what the layer says of itself; the others hold no picture of anybody.
        first_number: of a film's first frame.
        numbers: that will be written, where they are known better than from ``source``.
        beside: the converted frames' own files, where these are a sequence.

    Attributes:
        losses: what the files cannot hold; known before the first frame.

    Raises:
        UsageError: no pattern, one used twice, that of the holdout, or a format that cannot hold it.
        OutputExistsError, OutputError: as `NumberedFiles`.
        InputMissingError, BadInputError: the holdout cannot be used.
        ConfigurationError: the extra ``vfx`` is not installed.
    """

    def __init__(
        self,
        source: VideoInfo,
        *,
        matte: Pattern | None = None,
        layer: Pattern | None = None,
        stmap: Pattern | None = None,
        holdout: Pattern | None = None,
        overwrite: bool = False,
        comment: str | None = None,
        first_number: int = 0,
        numbers: Iterable[int] | None = None,
        beside: SequenceName | None = None,
    ) -> None:
        self.losses: list[str] = []
        self._source, self._comment = source, comment
        self._faces: dict[int, list[FaceLayer]] = {}
        self._files: dict[str, NumberedFiles] = {}
        self._holdout = None if holdout is None else Holdout(holdout, source)
        given = beside, None if self._holdout is None else self._holdout.name
        others = [name for name in given if name is not None]
        for kind, pattern in (("matte", matte), ("layer", layer), ("stmap", stmap)):
            if pattern is not None:
                openimageio()
                files = NumberedFiles(
                    pattern, source, overwrite=overwrite, first_number=first_number, numbers=numbers
                )
                self._check(kind, files, others)
                self._files[kind] = files
                others.append(files.name)

    def blend(
        self,
        frame: Frame,
        matrix: Affine,
        face: NDArray[np.float32],
        mask: NDArray[np.float32],
        colour: NDArray[np.float64],
        *,
        grain: Grain = NO_GRAIN,
        mark: Mark | None = None,
    ) -> tuple[int, int, int, int] | None:
        """As `kernels.blend`, but for the holdout; takes notes for `write`. Frames come in order.

        Raises:
            UsageError: a field of an interlaced frame.
            InputMissingError, BadInputError: the holdout lacks this frame, or is damaged.
        """
        if frame.whole is not None:
            raise UsageError(
                "fields have no matte, layer or ST-map: choose --deinterlace or --as-progressive"
            )
        layer = face_layer(frame, matrix, face, mask, colour, grain, mark) if self._files else None
        if layer is not None:
            layer = layer.over(frame)
        if self._holdout is None:
            box = kernels.blend(frame, matrix, face, mask, colour, grain=grain, mark=mark)
        else:
            held = self._holdout.matte(frame)
            with kept(frame, held):
                box = kernels.blend(frame, matrix, face, mask, colour, grain=grain, mark=mark)
            if layer is not None:
                layer = layer.held_back(held)
        if layer is not None:
            self._faces.setdefault(frame.index, []).append(layer)
        return box

    def write(self, frame: Frame) -> None:
        """Writes a frame's pictures, also where it has no face.

        Args:
            frame: with its faces blended.

        Raises:
            OutputExistsError, OutputError: as `SequenceWriter.write`.
        """
        faces = self._faces.pop(frame.index, [])
        if not self._files:
            return
        matte = np.zeros((frame.height, frame.width), np.float32)
        for face in faces:
            under = matte[face.rows, face.columns]
            under += face.weight * (1 - under)
        if faces and isinstance(frame.picture, SourcePicture):
            matte *= frame.picture.share()
        for kind, files in self._files.items():
            if kind == "matte":
                picture = np.repeat(matte[..., None], 4 if files.name.extension == ".exr" else 3, axis=2)
            elif kind == "stmap":
                # PNG and TIFF would multiply coordinates with alpha, or divide.
                picture = _st_map(faces, matte)[..., : 4 if files.name.extension == ".exr" else 3]
            else:
                picture = np.concatenate([_colours(frame, faces, matte), matte[..., None]], axis=2)
            self._put(files, frame, picture, self._comment if kind == "layer" else None)

    def close(self) -> None:
        """Free the holdout; the pictures are on the disk already."""
        if self._holdout is not None:
            self._holdout.close()

    def abandon(self) -> None:
        """Give the outputs up: nothing of them stays."""
        self.close()
        for files in self._files.values():
            files.abandon()

    def _check(self, kind: str, files: NumberedFiles, others: list[SequenceName]) -> None:
        if files.name.extension == ".dpx":
            raise UsageError(f"{files.name}: DPX holds no such picture: choose .exr, .png or .tif")
        if kind == "layer" and files.name.extension != ".exr" and self._source.colour.bits == FLOAT_BITS:
            raise UsageError(f"{files.name}: only floats hold this clip's layer: choose .exr")
        if kind == "layer" and files.name.extension != ".exr":
            self.losses.append(f"{files.name}: a face brighter than white or darker than black is clipped")
        if any(files.takes_the_place_of(other) for other in others):
            raise UsageError(f"{files.name}: is named twice: give each sequence its own name")

    def _put(
        self, files: NumberedFiles, frame: Frame, picture: NDArray[np.float32], comment: str | None
    ) -> None:
        kind = FORMATS[files.name.extension]
        samples: Samples = picture
        bits = FLOAT_BITS
        if kind != "openexr":
            bits = 16
            samples = np.rint(np.clip(picture, 0.0, 1.0) * np.float32(65535)).astype(np.uint16)
        with files.new(frame) as part:
            write_picture(part, kind, samples, bits, about(frame, self._source, comment))


def _colours(frame: Frame, faces: list[FaceLayer], matte: NDArray[np.float32]) -> NDArray[np.float32]:
    """The faces over black, premultiplied: values of the frame, or of its file where these are others."""
    source = frame.picture
    if isinstance(source, SourcePicture) and source.is_mapped:
        before, after = source.values(frame.planes)
        kept: NDArray[np.float32] = after - (1 - matte[..., None]) * before
        return np.where(matte[..., None] > 0, kept, np.float32(0))
    colours = np.zeros((*matte.shape, 3), np.float32)
    for face in faces:
        under = colours[face.rows, face.columns]
        under *= 1 - face.weight[..., None]
        under += face.colour
    return colours


def _st_map(faces: list[FaceLayer], matte: NDArray[np.float32]) -> NDArray[np.float32]:
    picture = np.zeros((*matte.shape, 4), np.float32)
    nearest = np.full(matte.shape, -1.0, np.float32)
    for face in faces:
        before = nearest[face.rows, face.columns]
        shown = face.inside & (face.weight >= before)
        before[shown] = face.weight[shown]
        picture[face.rows, face.columns, :2][shown] = face.place[shown]
    picture[..., 2] = picture[..., 3] = matte
    return picture
