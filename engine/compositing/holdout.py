"""A matte that comes in: where it is white, the source stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInputError
from ..frame import ColourDescription, Frame, Siting
from ..lifetime import Closeable
from ..sequence.film_pictures import rgb_of
from ..sequence.name import SequenceName, find_sequence
from ..sequence.picture import FLOAT_BITS, damaged, open_picture, reason_of
from ..sequence.reader import SequenceInfo
from ..video.info import VideoInfo
from ..video.reader import Reader

# Of a picture with several channels, the first of these is the matte.
_CHANNELS = ("R", "r", "Y", "A", "a")


class Holdout(Closeable):
    """A matte for every frame: a sequence, or a film of the same frames.

    The pictures of a sequence belong to the source's pictures of the same numbers, or to a film's frames in
    order. Their samples are taken as they are: 0 lets the face through, 1 keeps the source. A picture's matte
    is its R, else Y, else A, else its first channel; a film's is the R of its R'G'B'.

    Args:
        path: as `find_sequence` takes it, or a film.
        source: ``info`` of what is converted.

    Attributes:
        name: of the sequence; None for a film.

    Raises:
        InputMissingError, BadInputError: it cannot be read, or has another picture size.
    """

    def __init__(self, path: SequenceName | Path | str, source: VideoInfo) -> None:
        self._source = source
        name = path if isinstance(path, SequenceName) else find_sequence(path)
        self._path = Path(str(path))
        self._reader: Reader | None = None
        self._film: Iterator[Frame] = iter(())
        self.name = name
        if name is None:
            self._reader = Reader(Path(str(path)))
            self._film = iter(self._reader)
            try:
                self._check_size(self._path, self._reader.info.width, self._reader.info.height)
            except BadInputError:
                self.close()
                raise
        else:
            self._first_number = name.numbers()[0]
        self._held: tuple[int, NDArray[np.float32]] | None = None
        self._next = 0

    def close(self) -> None:
        """Free the decoder; safe to call twice."""
        if self._reader is not None:
            self._reader.close()

    def matte(self, frame: Frame) -> NDArray[np.float32]:
        """The matte of a frame: float32 ``[height, width]`` in 0..1.

        Args:
            frame: frames come in order; those without a face may be left out.

        Raises:
            InputMissingError, BadInputError: there is no matte for this frame, or it is damaged.
        """
        if self._held is None or self._held[0] != frame.index:
            plane = self._of_film(frame) if self.name is None else self._of_sequence(self.name, frame)
            self._held = frame.index, np.clip(plane, 0.0, 1.0)
        return self._held[1]

    def _of_film(self, frame: Frame) -> NDArray[np.float32]:
        for matte in self._film:
            self._next += 1
            if self._next > frame.index:
                return np.ascontiguousarray(rgb_of(matte)[..., 0])
        raise BadInputError(
            f"{self._path}: has no matte for frame {frame.index}: give a holdout as long as the clip"
        )

    def _of_sequence(self, name: SequenceName, frame: Frame) -> NDArray[np.float32]:
        by_number = isinstance(self._source, SequenceInfo)
        path = name.path(frame.pts if by_number else self._first_number + frame.index)
        window = self._source.display_window if isinstance(self._source, SequenceInfo) else None
        matte, x, y, width, height = _read_matte(path)
        if window is not None and (width, height) == (window.width, window.height):
            # The frame may show more than the display window.
            assert isinstance(self._source, SequenceInfo)
            x += window.x - self._source.window.x
            y += window.y - self._source.window.y
        else:
            self._check_size(path, width, height)
        plane = np.zeros((self._source.height, self._source.width), np.float32)
        rows, columns = np.arange(y, y + matte.shape[0]), np.arange(x, x + matte.shape[1])
        kept_rows, kept_columns = (
            (rows >= 0) & (rows < plane.shape[0]),
            (columns >= 0) & (columns < plane.shape[1]),
        )
        plane[np.ix_(rows[kept_rows], columns[kept_columns])] = matte[np.ix_(kept_rows, kept_columns)]
        return plane

    def _check_size(self, path: Path, width: int, height: int) -> None:
        if (width, height) != (self._source.width, self._source.height):
            raise BadInputError(
                f"{path}: is {width}x{height}, the clip {self._source.width}x{self._source.height}: "
                "give a holdout of the clip's size"
            )


@contextmanager
def kept(frame: Frame, held: NDArray[np.float32]) -> Iterator[None]:
    """Lets a frame keep a share of its samples, whatever the block does to its planes.

    Samples of share 1 keep their bits. A chroma sample's share is the mean over the luma around it.

    Args:
        frame: its planes are changed.
        held: the share, float32 ``[height, width]`` in 0..1.
    """
    before = [plane.copy() for plane in frame.planes]
    yield
    step = None if frame.colour.bits == FLOAT_BITS else np.float32(1 << frame.colour.padding_bits)
    shares = held, *2 * (_of_chroma(held, frame.colour),)
    for plane, old, share in zip(frame.planes, before, shares, strict=True):
        changed = np.nonzero((plane != old) & (share > 0))
        below, above, kept_share = old[changed], plane[changed], share[changed]
        mixed = (1 - kept_share) * above.astype(np.float32) + kept_share * below.astype(np.float32)
        if step is not None:
            mixed = np.rint(mixed / step) * step
        plane[changed] = np.where(kept_share == 1, below, mixed.astype(plane.dtype))


def _of_chroma(luma: NDArray[np.float32], colour: ColourDescription) -> NDArray[np.float32]:
    """A plane at the resolution and siting of chroma; the same where chroma has luma's resolution."""
    for axis, (shift, cosited) in enumerate(
        (
            (colour.chroma_shift_y, colour.siting is Siting.TOP_LEFT),
            (colour.chroma_shift_x, colour.siting is not Siting.CENTRE),
        )
    ):
        step = 1 << shift
        if step == 1:
            continue
        ends = [(0, 0), (0, 0)]
        # Co-sited chroma lies on the first of its luma samples, and reaches to both sides.
        reach = step - 1 if cosited else 0
        ends[axis] = reach, step
        padded = np.pad(luma, ends, mode="edge")
        count = -(-luma.shape[axis] // step)
        taps = np.bartlett(2 * step + 1)[1:-1] if cosited else np.ones(step)
        taken = [
            np.take(padded, np.arange(count) * step + offset, axis) * np.float32(tap / taps.sum())
            for offset, tap in enumerate(taps)
        ]
        luma = np.sum(taken, axis=0, dtype=np.float32)
    return luma


def _read_matte(path: Path) -> tuple[NDArray[np.float32], int, int, int, int]:
    """A matte's samples, their corner in the display window, and that window's size."""
    source, _ = open_picture(path)
    try:
        spec = source.spec()
        names = list(spec.channelnames)
        channel = next((names.index(name) for name in _CHANNELS if name in names), 0)
        samples = source.read_image(0, 0, channel, channel + 1, "float")
        if samples is None:
            raise damaged(path, reason_of(source))
        matte: NDArray[np.float32] = np.nan_to_num(samples[..., 0])
        return matte, spec.x - spec.full_x, spec.y - spec.full_y, spec.full_width, spec.full_height
    finally:
        source.close()
