"""Image sequences as a place for frames: one picture each, whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import UsageError
from ..frame import Frame, Matrix, Transfer
from ..lifetime import Output
from ..video.info import VideoInfo
from .film_pictures import bits_of_new, samples_of
from .name import SequenceName
from .new_picture import about, write_picture
from .numbered_files import NumberedFiles
from .patch import patch
from .picture import FLOAT_BITS, FORMATS, openimageio
from .reader import SequenceInfo
from .source_picture import SourcePicture


class SequenceWriter(Output):
    """Writes the frames of one source as numbered pictures.

    A picture of a sequence of the same format comes back as its own file with only the changed samples
    replaced: the whole file byte for byte where nothing has changed. Any other frame becomes a new RGB
    picture; what that means is in ``losses``.

    Args:
        name: the pattern. Its range, if it has one, gives the first number of a film's frames.
        source: ``info`` of what the frames come from.
        overwrite: replace pictures that are there.
        comment: what every changed or new picture says of itself.
        first_number: of a film's first frame. Pictures of a sequence keep their numbers.
        numbers: that will be written, where they are known better than from ``source``.

    Attributes:
        losses: one line for each thing that the pictures cannot hold; known before the first frame.

    Raises:
        UsageError: no name of a sequence, the source itself, a range where numbers are kept, or PQ or HLG
            for EXR.
        OutputExistsError: a picture exists and ``overwrite`` is False.
        ConfigurationError: the extra ``vfx`` is not installed.
    """

    def __init__(
        self,
        name: SequenceName | Path | str,
        source: VideoInfo,
        *,
        overwrite: bool = False,
        comment: str | None = None,
        first_number: int = 0,
        numbers: Iterable[int] | None = None,
    ) -> None:
        openimageio()
        self.losses: list[str] = []
        self._files = NumberedFiles(
            name, source, overwrite=overwrite, first_number=first_number, numbers=numbers
        )
        self._info, self._comment = source, comment
        self._kind = FORMATS[self._files.name.extension]
        self._bits = bits_of_new(self._kind, source.colour.bits)
        if source.colour.transfer is not Transfer.SDR and self._kind == "openexr":
            transfer = source.colour.transfer.name
            raise UsageError(f"{self._files.name}: EXR is scene-linear, which {transfer} is not: write TIFF")
        self._tell_losses()

    @property
    def name(self) -> SequenceName:
        """Of the sequence."""
        return self._files.name

    @property
    def written(self) -> list[Path]:
        """The pictures that are there by now."""
        return self._files.written

    def write(self, frame: Frame) -> None:
        """Write the next frame.

        Raises:
            UsageError: a second frame for the name of a single picture.
            OutputExistsError: the picture has appeared in the meantime.
            OutputError: the disk is full, or another I/O error.
            BadInputError: the picture that the frame was made from has been damaged in the meantime.
        """
        source = frame.picture
        with self._files.new(frame) as part:
            if isinstance(source, SourcePicture) and source.picture.format == self._kind:
                self._rewrite(frame, source, part)
            else:
                samples = samples_of(frame, self._bits)
                write_picture(part, self._kind, samples, self._bits, about(frame, self._info, self._comment))

    def close(self) -> None:
        """Every picture is on the disk already; a `Writer` has this."""

    def abandon(self) -> None:
        """Give the output up: nothing of it stays."""
        self._files.abandon()

    def _rewrite(self, frame: Frame, source: SourcePicture, part: Path) -> None:
        rgb, changed = source.changes(frame.planes)
        if not changed.any():
            shutil.copyfile(source.picture.path, part)
            return
        with part.open("wb") as out:
            patch(source.picture, rgb, changed, self._comment, out)

    def _tell_losses(self) -> None:
        info, colour = self._info, self._info.colour
        if isinstance(info, SequenceInfo):
            if info.sequence is not None and FORMATS[info.sequence.extension] == self._kind:
                return
            self._lose("pictures change their format: metadata and other channels are not kept")
        else:
            self._lose("a sequence holds pictures only: sound, other streams and times are not kept")
        depth = "half float" if self._bits == FLOAT_BITS else f"{self._bits} bits"
        if colour.matrix is not Matrix.RGB:
            self._lose(f"pictures are RGB ({depth}), converted from {colour.bits}-bit Y'CbCr")
        elif colour.bits != self._bits:
            self._lose(f"samples become {depth}")
        if colour.transfer is not Transfer.SDR:
            self._lose(f"samples stay {colour.transfer.name} codes, and the pictures do not say so")
        if self._bits == FLOAT_BITS and colour.bits != FLOAT_BITS:
            self._lose("EXR is scene-linear: converted by the sRGB curve")
        if self._bits != FLOAT_BITS and colour.bits == FLOAT_BITS:
            self._lose("samples become display-referred, and highlights are clipped")
        if info.rotation:
            self._lose(f"pictures are stored as coded: players turned them by {info.rotation} degrees")

    def _lose(self, what: str) -> None:
        self.losses.append(f"{self._files.name}: {what}")
