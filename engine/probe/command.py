"""``crossface probe``: what was found, as tables or as JSON."""

from __future__ import annotations

import dataclasses
import json

import click

from ..options import device_option
from .abilities import Probe, probe
from .driver import CudaDevice

Row = tuple[str, str, str]


@click.command("probe")
@device_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def probe_command(device: str, as_json: bool) -> None:
    """Tell what this machine can do, and where "convert" runs on it."""
    found = probe(device)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    click.echo("\n\n".join(map(_aligned, (_devices(found), _abilities(found), _stages(found)))))


def _devices(found: Probe) -> list[Row]:
    chosen = found.choice.devices
    rows = [
        (f"cuda:{device.index}", _yes(device in chosen), _description(device))
        for device in found.driver.devices
    ]
    return [
        ("DEVICE", "CHOSEN", "WHAT IT IS"),
        *rows,
        ("cpu", _yes(not chosen), ""),
        ("", "", f"({found.choice.reason})"),
    ]


def _description(device: CudaDevice) -> str:
    major, minor = device.capability
    return (
        f"{device.name}, {device.memory_bytes / 2**30:.0f} GiB, compute capability {major}.{minor}, "
        f"{device.pci_bus}, {device.uuid}"
    )


def _abilities(found: Probe) -> list[Row]:
    driver = ("driver", _yes(bool(found.driver.devices)), found.driver.detail)
    rows = [(ability.name, _yes(ability.works), ability.detail) for ability in found.abilities]
    where = "" if found.tried is None else f" (tried on cuda:{found.tried})"
    return [("ABILITY", "WORKS", f"WHICH, OR WHAT TO DO{where}"), driver, *rows]


def _stages(found: Probe) -> list[Row]:
    return [
        ("CONVERT", "ON", "BECAUSE"),
        *((stage.name, stage.device, stage.reason) for stage in found.stages),
    ]


def _aligned(rows: list[Row]) -> str:
    """A line a row, not broken: for terminals and for the logs of farms."""
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{a:{first}}  {b:{second}}  {c}".rstrip() for a, b, c in rows)


def _yes(works: bool) -> str:
    return "yes" if works else "no"
