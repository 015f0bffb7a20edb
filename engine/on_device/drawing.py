"""A person's network on a lane: faces are cut out of frames, drawn, masked and measured, and nobody waits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceUnavailableError
from ..face.align import Affine
from ..file_state import changed, file_sha256
from ..swap.dfm import is_dfm
from ..swap.mask import SKIN, MaskSettings, softening
from ..swap.model import ModelFile, Swapper, check_graph, check_landmarks
from ..swap.skin import passes
from ..swap.steady_match import MatchSettings
from ..swap.texture import WIDE, blur_of
from .memory import DeviceFrame, DeviceTensor
from .place import Place, Shape
from .sheet import Sheet
from .tensors import buffer_of, new_tensor
from .tools import Tools


@dataclass(frozen=True)
class ToDraw:
    """A face of a batch, as a network is given it.

    Attributes:
        frame: its number among the batch's frames on the device.
        placed: the network's input px to luma px.
        drawn_placed: its output px to luma px.
        outline: of `Work.outline`.
        share: of `Work.share`.
        frame_edges: of `mask.frame_edges`, in output px.
    """

    frame: int
    placed: Affine
    drawn_placed: Affine
    outline: NDArray[np.float32]
    share: float
    frame_edges: NDArray[np.float32] | None


class LaneNetwork:
    """A model on one lane, for all segments that it converts.

    It runs in one shape only, of a whole batch: in another shape a GPU may choose other ways to compute, and
    a face's bits would depend on how many others there were.

    Args:
        place: of the lane.
        tools: on the lane, for the thread that has it open.
        model: of `read_model`.
        batch: faces a run.

    Attributes:
        metadata: how the model must be used.
        sha256: of the file.

    Raises:
        InputMissingError, BadInputError: the file cannot be used, or was changed since it was read.
        DeviceUnavailableError: a device cannot run it.
        OutOfMemoryError: no memory for it.
    """

    def __init__(self, place: Place, tools: Tools, model: ModelFile, *, batch: int) -> None:
        self.path, self.metadata = model.path, model.metadata
        self.sha256 = file_sha256(model.path, model.state)
        check_landmarks(model.path, model.metadata)
        self._tools, self._batch = tools, batch
        lane = self._lane = tools.lane
        self._runner = place.runner(model.path, input_shape(model, batch), lane)
        check_graph(model.path, model.metadata, (self._runner.input, *self._runner.outputs))
        self._input, self._faces, drawn_masks = (
            new_tensor(lane, each.fixed_shape, each.dtype)
            for each in (self._runner.input, *self._runner.outputs)
        )
        output_px = self.metadata.output_px
        self._drawn_masks = DeviceTensor(
            drawn_masks.address, (batch, output_px, output_px), drawn_masks.dtype
        )
        self._runner.bind(self._input.address, [self._faces.address, drawn_masks.address])
        self._free: list[Sheet] = []

    def sheet(self, faces: int) -> Sheet:
        """One that has room for so many; given back by `give_back`."""
        fitting = next((sheet for sheet in self._free if sheet.room >= faces), None)
        if fitting is not None:
            self._free.remove(fitting)
            return fitting
        room = -(-faces // self._batch) * self._batch
        return Sheet(self._lane, room, self.metadata.size_px, self.metadata.output_px)

    def give_back(self, sheet: Sheet) -> None:
        """Once nobody reads it any more."""
        self._free.append(sheet)

    def draw(self, frames: Sequence[DeviceFrame], work: Sequence[ToDraw], sheet: Sheet) -> None:
        """Crops the faces and draws them, in batches of which the last one is filled up."""
        sheet.count = len(work)
        frame_of = [each.frame for each in work]
        self._tools.pictures.crop(frames, frame_of, np.array([each.placed for each in work]), sheet.crops)
        if sheet.sources is not sheet.crops:
            drawn_placed = np.array([each.drawn_placed for each in work])
            self._tools.pictures.crop(frames, frame_of, drawn_placed, sheet.sources)
        for first in range(0, len(work), self._batch):
            # With what lies there from before, or never was a face: no face depends on its neighbours.
            self._tools.values.prepare(sheet.crops.part(first, self._batch), self._input, low=0.0, high=1.0)
            self._runner.enqueue()
            # A copy, too: the next batch is drawn before this one has been blended.
            self._tools.values.prepare(self._faces, sheet.faces.part(first, self._batch))
            self._tools.values.prepare(self._drawn_masks, sheet.masks.part(first, self._batch))

    def measure(
        self,
        frames: Sequence[DeviceFrame],
        work: Sequence[ToDraw],
        sheet: Sheet,
        mask: MaskSettings,
        *,
        uncover: bool,
        search_skin: bool = True,
        textured: bool = False,
        items: Sequence[int] | None = None,
    ) -> None:
        """Cuts masks to their outlines, softens them, measures skin; fetches what the host needs.

        Args:
            frames: of the batch, as they were.
            work: of the sheet's faces, or of ``items`` alone.
            sheet: whose faces are drawn.
            mask: what of a face is blended.
            uncover: leave out what the sheet's ``visible`` says is hidden, where skin is looked for. What is
                blended is uncovered later, by what `Match` has of several frames.
            search_skin: False takes all of a face for skin.
            textured: measure sharpness and noise, too.
            items: of the sheet, for those that are drawn anew.
        """
        count, output_px = sheet.count, self.metadata.output_px
        found = sheet.on_device
        self._tools.values.finite(
            [sheet.faces.part(0, count), sheet.masks.part(0, count)], found.finite.part(0, count)
        )
        masks, numbers = self._tools.masks, range(count) if items is None else items
        if mask.kind == "hull":
            for number in numbers:
                one = sheet.masks.part(number, 1)
                self._tools.values.prepare(one, one, low=1.0, high=1.0)
        masks.outline(sheet.masks, [each.outline for each in work], items=items)
        face_px = self.metadata.face_px
        taps, border_px = softening(SKIN, output_px, face_px)
        ones = np.ones(len(work), np.float32)
        masks.soften(sheet.masks, taps, border_px, sheet.inside, shares=ones, items=items)
        beyond = [(n, each.frame_edges) for n, each in zip(numbers, work, strict=True)]
        cut = [(n, edges) for n, edges in beyond if edges is not None]
        masks.outline(sheet.inside, [edges for _, edges in cut], items=[n for n, _ in cut])
        taps, border_px = softening(mask, output_px, face_px)
        shares = np.array([each.share for each in work], np.float32)
        masks.soften(
            sheet.masks, taps, border_px, sheet.weights, shares=shares, areas=found.areas, items=items
        )
        if uncover:
            masks.uncover(sheet.inside, sheet.visible, items=numbers)
        self._find_skin(sheet, search=search_skin)
        if textured:
            blurs = [blur_of(each.drawn_placed).taps for each in work]
            both = (blurs, found.details), ([WIDE.taps] * len(work), found.wide_details)
            for taps_of, details in both:
                self._tools.textures.details(sheet.faces, sheet.sources, taps_of, sheet.finished, items=items)
                self._tools.pictures.stats(
                    sheet.finished.part(0, count), sheet.inside.part(0, count), details.part(0, count)
                )
            placed = np.array([each.drawn_placed for each in work])
            frame_of = [each.frame for each in work]
            self._tools.textures.noise(frames, frame_of, placed, sheet.skin, found.noise, items=items)
        sheet.fetch(textured=textured, covered=uncover)

    def _find_skin(self, sheet: Sheet, *, search: bool) -> None:
        """As `skin.find_skin`, and as often."""
        count, found = sheet.count, sheet.on_device
        faces, sources, inside, skin = (
            each.part(0, count) for each in (sheet.faces, sheet.sources, sheet.inside, sheet.skin)
        )
        of = found.whole_drawn.part(0, count), found.whole_source.part(0, count)
        self._tools.pictures.stats(faces, inside, of[0])
        self._tools.pictures.stats(sources, inside, of[1])
        if not search:
            self._tools.values.prepare(inside, skin)
        drawn, source = found.drawn.part(0, count), found.source.part(0, count)
        for spread, row_step in passes(self.metadata.output_px) if search else ():
            self._tools.textures.skin(faces, sources, inside, *of, spread, skin, row_step=row_step)
            of = drawn, source
            self._tools.pictures.stats(faces, skin, drawn)
            self._tools.pictures.stats(sources, skin, source)

    def redraw(self, sheet: Sheet, item: int) -> bool:
        """Draws a face once more on the CPU, in float32 where the file allows it; waits for the device.

        Returns:
            False where that gives no number either, and nothing has changed.
        """
        crop, face, mask = self._redrawn
        self._lane.download(crop, buffer_of(sheet.crops.part(item, 1)))
        self._lane.synchronize()
        drawn = self._careful.swap(crop)
        if not drawn.finite[0]:
            return False
        face[:], mask[:] = drawn.faces, drawn.masks
        self._lane.upload(buffer_of(sheet.faces.part(item, 1)), face)
        self._lane.upload(buffer_of(sheet.masks.part(item, 1)), mask)
        self._lane.synchronize()
        return True

    @functools.cached_property
    def _redrawn(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Pinned memory for one face on its way to the CPU and back: crop, face and mask."""
        size_px, output_px = self.metadata.size_px, self.metadata.output_px
        sides = (3, size_px, size_px), (3, output_px, output_px), (output_px, output_px)
        crop, face, mask = (self._lane.pinned((1, *each), np.float32) for each in sides)
        return crop, face, mask

    @functools.cached_property
    def _careful(self) -> Swapper:
        swapper = Swapper(self.path, batch=1, threads=1)
        if swapper.sha256 != self.sha256:
            raise changed(self.path)
        return swapper


def check_match(match: MatchSettings) -> None:
    """Raises DeviceUnavailableError where a match is made on the CPU only."""
    if match.colour == "hist":
        raise DeviceUnavailableError("--colour hist is for CPUs: choose another one, or give --device cpu")
    if match.refine != "off":
        raise DeviceUnavailableError(
            f"--refine {match.refine} is for CPUs: leave it out, or give --device cpu"
        )
    if match.motion_blur:
        raise DeviceUnavailableError("--motion-blur is for CPUs: leave it out, or give --device cpu")


def input_shape(model: ModelFile, batch: int) -> Shape:
    """In which a model runs on a device.

    Raises:
        DeviceUnavailableError: no device runs it.
    """
    if is_dfm(model.path):
        raise DeviceUnavailableError(
            f"{model.path}: DFM files are drawn with on the CPU only: give --device cpu"
        )
    if model.metadata.precision == "int8":
        raise DeviceUnavailableError(
            f"{model.path}: computes in int8, which is for CPUs: export it in fp16, or give --device cpu"
        )
    return batch, 3, model.metadata.size_px, model.metadata.size_px
