"""Who draws the faces of a job: networks on the CPU, or on a lane of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compositing import CompositorOutputs
from ..errors import BadInputError
from ..on_device.drawing import LaneNetwork
from ..on_device.occlusion import LaneOcclusion
from ..on_device.place import Place
from ..on_device.swap import LaneSwapper
from ..on_device.workbench import Workbench
from ..provenance.mark.payload import Payload
from ..review.measure import Recorder
from ..settings import ConversionSettings
from ..swap.batch import BatchSwapper
from ..swap.model import Swappers
from ..swap.networks import Networks
from ..swap.occlusion import Occlusion
from ..swap.steady_match import Measured
from .plan import Plan


@dataclass(frozen=True)
class CpuDrawers:
    """Networks on the CPU.

    Attributes:
        swappers: them.
        place: where they draw; None for the CPU.
    """

    swappers: Swappers
    occlusion: Occlusion | None
    place: None = None

    @classmethod
    def of(cls, swappers: Swappers, settings: ConversionSettings, *, batch: int, threads: int) -> CpuDrawers:
        """With the other networks that a conversion needs."""
        return cls(swappers, Occlusion(batch=batch, threads=threads) if settings.occlusion else None)

    def swapper(
        self,
        display: NDArray[np.float64],
        settings: ConversionSettings,
        recorder: Recorder | None,
        measured: Sequence[Measured],
        *,
        encodes_there: bool,
        outputs: CompositorOutputs | None = None,
        payload: Payload | None = None,
    ) -> BatchSwapper:
        """For consecutive frames.

        Args:
            display: of `VideoInfo.display`.
            settings: of the conversion.
            recorder: is told of every face; None for nobody.
            measured: colours of the frames before.
            encodes_there: the encoder takes frames of the place.
            outputs: for compositors.
            payload: of the mark that faces carry; None for none.
        """
        return BatchSwapper(
            self.swappers,
            display,
            match=settings.match,
            mask=settings.mask,
            occlusion=self.occlusion,
            outputs=outputs,
            payload=payload,
            recorder=recorder,
            measured=measured,
        )


@dataclass(frozen=True)
class LaneDrawers:
    """Networks on a lane of this thread; see `CpuDrawers`."""

    bench: Workbench
    networks: Mapping[str | None, LaneNetwork]
    occlusion: LaneOcclusion | None

    @property
    def place(self) -> Place:
        return self.bench.place

    def swapper(
        self,
        display: NDArray[np.float64],
        settings: ConversionSettings,
        recorder: Recorder,
        measured: Sequence[Measured],
        *,
        encodes_there: bool,
        payload: Payload | None = None,
    ) -> LaneSwapper:
        return LaneSwapper(
            self.bench,
            self.networks,
            display,
            match=settings.match,
            mask=settings.mask,
            occlusion=self.occlusion,
            payload=payload,
            keep_on_device=encodes_there,
            recorder=recorder,
            measured=measured,
        )


# Loaded, for all segments of a job.
Drawers = CpuDrawers | LaneDrawers


def planned_drawers(plan: Plan, networks: Networks, bench: Workbench | None, *, threads: int) -> Drawers:
    """The plan's networks, which may have been loaded already.

    Args:
        plan: of the job.
        networks: on the CPU.
        bench: of this thread's lane; None for the CPU.
        threads: of networks on the CPU.

    Raises:
        InputMissingError: a model is not there.
        BadInputError: one is damaged, or another than when the plan was made.
        CrossfaceError: of the device.
    """
    paths = {model.whom: model.path for model in plan.models}
    batch, morph = plan.conversion.batch, plan.conversion.morph
    drawers: Drawers
    if bench is None:
        swappers = networks.load(paths, batch=batch, threads=threads, morph=morph).result()
        drawers, found = (
            CpuDrawers.of(swappers, plan.conversion, batch=batch, threads=threads),
            {whom: each.sha256 for whom, each in swappers.items()},
        )
    else:
        on_lane = bench.networks(paths, batch=batch)
        looks = bench.occlusion(batch=batch) if plan.conversion.occlusion else None
        drawers, found = (
            LaneDrawers(bench, on_lane, looks),
            {whom: each.sha256 for whom, each in on_lane.items()},
        )
    for model in plan.models:
        if found[model.whom] != model.sha256:
            raise BadInputError(f"{model.path}: is another model than the one that was planned: plan again")
    return drawers
