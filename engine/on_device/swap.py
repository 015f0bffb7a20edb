"""Swaps the faces of frames on a lane, while the host is a batch ahead and a batch behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

from ..device import Event
from ..face.faces_file import FrameFaces
from ..provenance.mark.payload import Payload
from ..review.measure import Recorder
from ..swap.account import Account, no_number, unseen
from ..swap.batch import Swapped
from ..swap.cast import Cast, Work
from ..swap.colour_match import Statistics, luma_variance
from ..swap.finish import Finish, finish
from ..swap.mark import Marker, luma_row
from ..swap.mask import MaskSettings, frame_edges
from ..swap.steady_match import Match, MatchSettings, Measured
from ..swap.texture import Texture, mean_squares
from .download import touched_rows
from .drawing import LaneNetwork, ToDraw, check_match
from .frame import Decoded, LaneFrame
from .memory import DeviceFrame, DeviceTensor
from .occlusion import LaneOcclusion
from .sheet import Found, Sheet
from .workbench import Workbench


@dataclass
class _Asked:
    """What one network draws of a batch."""

    network: LaneNetwork
    work: list[Work[Decoded]]
    to_draw: list[ToDraw]
    sheet: Sheet
    redrawn: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Face:
    """A face that has its colours: of ``asked``, the face ``item``."""

    asked: _Asked
    item: int
    drawn: Statistics
    source: Statistics
    match: Match
    finish: Finish

    @property
    def work(self) -> Work[Decoded]:
        return self.asked.work[self.item]


@dataclass
class _Batch:
    """Frames on their way; ``done`` is the end of what was last launched for them."""

    frames: list[tuple[Decoded, FrameFaces]]
    on_device: list[LaneFrame]
    asked: list[_Asked]
    done: Event
    warnings: list[str] = field(default_factory=list)
    laid: list[tuple[_Face, NDArray[np.int32]]] = field(default_factory=list)


class LaneSwapper:
    """Does what `BatchSwapper` does, on a device, for consecutive frames.

    While the device draws the faces of one batch, the host matches the colours of the one before, and takes
    the one before that off. So the host waits twice a batch, each time for work that has more behind it.

    Args:
        bench: the lane of this thread, and what is on it.
        networks: who draws, by track number or person's name as text; None draws all others.
        display: of `VideoInfo.display`.
        match: how a face is made to fit the plate; not by ``hist``, and not refined.
        mask: what of a face is blended.
        occlusion: leaves out what lies before faces; None takes all for face.
        payload: of the mark that every face carries; None for none.
        keep_on_device: leave a decoder's own frames where they are, for an encoder there.
        recorder: is told of every face.
        measured: of the frames before the first one: `colours` of whoever had them.
    """

    def __init__(
        self,
        bench: Workbench,
        networks: Mapping[str | None, LaneNetwork],
        display: NDArray[np.float64],
        *,
        match: MatchSettings,
        mask: MaskSettings,
        occlusion: LaneOcclusion | None = None,
        payload: Payload | None = None,
        keep_on_device: bool = False,
        recorder: Recorder | None = None,
        measured: Sequence[Measured] = (),
    ) -> None:
        self._bench, self._lane = bench, bench.lane
        self._networks, self._mask, self._settings = networks, mask, match
        check_match(match)
        self._occlusion = occlusion
        self._marker = None if payload is None else Marker(payload, display)
        self._keep_on_device = keep_on_device
        self._cast = Cast({whom: each.metadata for whom, each in networks.items()}, display, mask)
        self._account = Account(match.colour, recorder=recorder, measured=measured)

    @property
    def faces(self) -> int:
        """How many were blended so far."""
        return self._account.faces

    @property
    def colours(self) -> Sequence[Measured]:
        """What was measured in the last frames."""
        return self._account.colours

    def tracks_of(self, line: FrameFaces) -> list[int]:
        """Of the faces of a frame that somebody draws."""
        return self._cast.tracks_of(line)

    def swapped(
        self, batches: Iterable[Sequence[tuple[Decoded, FrameFaces]]], *, blend: bool = True
    ) -> Generator[Swapped]:
        """As `BatchSwapper.swapped`."""
        begun: deque[_Batch] = deque()
        blended: deque[_Batch] = deque()
        try:
            for batch in chain(batches, repeat(None)):
                if batch is not None:
                    begun.append(self._begun(batch))
                elif not (begun or blended):
                    return
                if len(begun) > (batch is not None):
                    matched = begun.popleft()
                    blended.append(matched)
                    self._match(matched, blend=blend)
                if len(blended) > (batch is not None):
                    yield self._delivered(blended.popleft())
        finally:
            self._drop([*begun, *blended])

    def _begun(self, batch: Sequence[tuple[Decoded, FrameFaces]]) -> _Batch:
        """Gives the device all that can be done before colours are matched."""
        frames: list[tuple[Decoded, FrameFaces]] = []
        numbers: dict[int, int] = {}
        on_device: list[LaneFrame] = []
        for row, (frame, line) in enumerate(batch):
            if self._cast.tracks_of(line):
                numbers[row] = len(on_device)
                on_device.append(self._bench.on_device(frame))
                frame = on_device[-1]
            frames.append((frame, line))
        planes = [frame.planes for frame in on_device]
        asked = []
        for whom, work in self._cast.work_of(frames).items():
            network = self._networks[whom]
            sheet, output_px = network.sheet(len(work)), network.metadata.output_px
            to_draw = [
                ToDraw(
                    numbers[each.row],
                    each.placed,
                    each.drawn_placed,
                    each.outline(output_px),
                    each.share,
                    frame_edges(each.drawn_placed, output_px, each.frame.width, each.frame.height),
                )
                for each in work
            ]
            network.draw(planes, to_draw, sheet)
            if self._occlusion is not None:
                squares = [(each.frame, each.drawn_placed) for each in to_draw]
                found = sheet.visible, sheet.on_device.covered
                self._occlusion.look(planes, squares, output_px, *found)
            self._measure(planes, network, to_draw, sheet)
            asked.append(_Asked(network, work, to_draw, sheet))
        return _Batch(frames, on_device, asked, self._lane.record())

    def _measure(
        self,
        frames: Sequence[DeviceFrame],
        network: LaneNetwork,
        work: Sequence[ToDraw],
        sheet: Sheet,
        items: Sequence[int] | None = None,
    ) -> None:
        network.measure(
            frames,
            work,
            sheet,
            self._mask,
            uncover=self._occlusion is not None,
            search_skin=self._settings.needs_skin,
            textured=self._settings.textured,
            items=items,
        )

    def _match(self, batch: _Batch, *, blend: bool) -> None:
        """Matches colours, and gives the device the rest of the work on a batch."""
        self._lane.synchronize(batch.done)
        for asked in batch.asked:
            self._redraw(batch, asked)
        faces = self._coloured(batch, blend=blend)
        if blend:
            self._blend(batch, faces)
        for frame, _ in batch.frames:
            if isinstance(frame, LaneFrame) and not (self._keep_on_device and frame.host is None):
                # Of a decoder's own frame all is fetched, whether it has a face or not.
                self._bench.downloader.fetch(frame, _rows(frame, faces) if blend else (0, 0))
        batch.done = self._lane.record()

    def _redraw(self, batch: _Batch, asked: _Asked) -> None:
        """Faces that are no numbers; rare, so that waiting for the device does not matter."""
        sheet = asked.sheet
        for item in np.flatnonzero(sheet.found.finite[: sheet.count] == 0).tolist():
            if asked.network.redraw(sheet, item):
                asked.redrawn.add(item)
        if asked.redrawn:
            items = sorted(asked.redrawn)
            planes = [frame.planes for frame in batch.on_device]
            to_draw = [asked.to_draw[item] for item in items]
            self._measure(planes, asked.network, to_draw, sheet, items)
            self._lane.synchronize()

    def _coloured(self, batch: _Batch, *, blend: bool) -> list[_Face]:
        """The faces that are numbers and have a mask, in the order of the frames, whoever draws."""
        faces: list[_Face] = []
        all_faces = [(asked, item) for asked in batch.asked for item in range(len(asked.work))]
        for asked, item in sorted(all_faces, key=lambda each: each[0].work[each[1]].order):
            work, found = asked.work[item], asked.sheet.found
            if not found.finite[item]:
                batch.warnings.append(no_number(work))
                if blend:
                    self._account.keep(work, "not a number")
                continue
            if found.whole_drawn[item]["weight"] <= 0:
                if blend:
                    self._account.keep(work, unseen(work, self._covered(asked, item)))
                continue
            drawn, source = self._statistics(found, item)
            maps = None if self._occlusion is None else asked.sheet.maps[item]
            match = self._account.match(work, drawn, source, self._texture(found, item), maps)
            frame = work.frame
            finished = finish(
                self._settings, match, work.drawn_placed, frame.colour, pts=frame.pts, track=work.face.track
            )
            faces.append(_Face(asked, item, drawn, source, match, finished))
        return faces

    def _statistics(self, found: Found, item: int) -> tuple[Statistics, Statistics]:
        """Of the new face and the old one."""
        whole = found.whole_drawn[item], found.whole_source[item]
        skin = (found.drawn[item], found.source[item]) if self._settings.needs_skin else whole
        new, old = (
            Statistics(
                of_skin["mean"].copy(),
                of_skin["covariance"].copy(),
                contrast=luma_variance(of_all["covariance"]),
            )
            for of_skin, of_all in zip(skin, whole, strict=True)
        )
        return new, old

    def _texture(self, found: Found, item: int) -> Texture | None:
        if not self._settings.textured:
            return None
        details, wide = (
            mean_squares(each[item]["mean"], each[item]["covariance"])
            for each in (found.details, found.wide_details)
        )
        fine, coarse = found.noise[item].tolist()
        return Texture(*details, *wide, fine, coarse)

    def _blend(self, batch: _Batch, faces: list[_Face]) -> None:
        planes = [frame.planes for frame in batch.on_device]
        copies = dict.fromkeys(map(id, batch.asked), 0)
        if self._occlusion is not None:
            self._uncover(batch, faces)
        for asked, items in _launches(faces):
            sheet, to_draw = asked.sheet, [asked.to_draw[face.item] for face in items]
            count, numbers = sheet.count, [face.item for face in items]
            shown, other = sheet.faces, sheet.finished
            for amounts in zip(*(face.finish.sharpening for face in items), strict=True):
                if any(amounts):
                    taps = [face.finish.taps for face in items]
                    self._bench.tools.textures.sharpen(shown, taps, np.array(amounts), other, items=numbers)
                    shown, other = other, shown
            self._bench.tools.pictures.blend(
                planes,
                [each.frame for each in to_draw],
                np.array([each.drawn_placed for each in to_draw]),
                shown,
                sheet.weights,
                np.array([face.match.colour for face in items]),
                sheet.touched,
                grains=[face.finish.grain for face in items],
                marks=self._marked(sheet, shown, items),
                items=numbers,
            )
            touched = sheet.fetch_touched(copies[id(asked)])
            copies[id(asked)] += 1
            batch.laid += [(face, touched[:count]) for face in items]

    def _marked(
        self, sheet: Sheet, finished: DeviceTensor, faces: list[_Face]
    ) -> tuple[DeviceTensor, NDArray[np.float64]] | None:
        """Makes the marks of faces, for `DeviceKernels.blend`."""
        if self._marker is None:
            return None
        placed = [self._marker.placed(face.work) for face in faces]
        self._bench.tools.marks.make(
            finished,
            sheet.weights,
            np.array([luma_row(face.work.frame.colour, face.match.colour) for face in faces]),
            np.array([each.to_face for each in placed]),
            self._marker.signs,
            sheet.marks,
            items=[face.item for face in faces],
        )
        return sheet.marks, np.array([each.to_luma for each in placed])

    def _uncover(self, batch: _Batch, faces: list[_Face]) -> None:
        """Leaves what lies before the faces in front of them."""
        for asked in batch.asked:
            its_own = [face for face in faces if face.asked is asked]
            for face in its_own:
                if face.match.visible is not None:
                    asked.sheet.maps[face.item] = face.match.visible
            if its_own:
                asked.sheet.give_maps()
                items = [face.item for face in its_own]
                self._bench.tools.masks.uncover(asked.sheet.weights, asked.sheet.visible, items=items)

    def _delivered(self, batch: _Batch) -> Swapped:
        """Frames that are done, in the host's memory or on the device."""
        self._lane.synchronize(batch.done)
        for face, touched in batch.laid:
            if touched[face.item]:
                self._account.swap(
                    face.work,
                    face.drawn,
                    face.source,
                    face.match,
                    mask_area=float(face.asked.sheet.found.areas[face.item]),
                    covered=self._covered(face.asked, face.item),
                    redrawn=face.item in face.asked.redrawn,
                )
            else:
                covered = self._covered(face.asked, face.item)
                self._account.keep(face.work, unseen(face.work, covered))
        frames = [(self._landed(frame), line) for frame, line in batch.frames]
        for asked in batch.asked:
            asked.network.give_back(asked.sheet)
        return Swapped(frames, batch.warnings)

    def _covered(self, asked: _Asked, item: int) -> float:
        return 0.0 if self._occlusion is None else float(asked.sheet.found.covered[item])

    def _landed(self, frame: Decoded) -> Decoded:
        if not isinstance(frame, LaneFrame) or (self._keep_on_device and frame.host is None):
            return frame
        return self._bench.downloader.land(frame)

    def _drop(self, batches: list[_Batch]) -> None:
        """What is under way is of no use; the memory is, to the next segment."""
        if not batches:
            return
        self._lane.synchronize()
        for batch in batches:
            for frame, _ in batch.frames:
                if isinstance(frame, LaneFrame):
                    self._bench.uploader.release(frame)
            for asked in batch.asked:
                asked.network.give_back(asked.sheet)


def _launches(faces: list[_Face]) -> list[tuple[_Asked, list[_Face]]]:
    """Faces that are laid at once: a network's, of which none lies over another network's earlier one."""
    rounds: dict[int, tuple[int, _Asked]] = {}
    launches: dict[tuple[int, int], tuple[_Asked, list[_Face]]] = {}
    for face in faces:
        number, before = rounds.get(face.work.row, (0, face.asked))
        number += before is not face.asked
        rounds[face.work.row] = number, face.asked
        launches.setdefault((number, id(face.asked)), (face.asked, []))[1].append(face)
    return [launch for _, launch in sorted(launches.items(), key=lambda each: each[0][0])]


def _rows(frame: LaneFrame, faces: list[_Face]) -> tuple[int, int]:
    """Of a frame, those that its faces may have changed."""
    changed = [
        touched_rows(frame, face.work.drawn_placed[None], face.asked.network.metadata.output_px)
        for face in faces
        if face.work.frame is frame
    ]
    seen = [(top, bottom) for top, bottom in changed if top < bottom]
    return (min(top for top, _ in seen), max(bottom for _, bottom in seen)) if seen else (0, 0)
