"""Events on a terminal: a bar, or lines for programs and render farms; warnings on stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from typing import Literal

import click

from . import events
from .errors import CrossfaceError
from .events import Event

Format = Literal["auto", "bar", "json", "openjd", "none"]
FORMATS: tuple[Format, ...] = ("auto", "bar", "json", "openjd", "none")


def show(stream: Generator[Event], progress: Format) -> None:
    """Runs a generator of events to its end and shows them.

    ``bar`` draws on stderr; ``json`` prints one object a line on stdout; ``openjd`` prints there what Open
    Job Description reads from a task; ``auto`` is a bar where stderr is a terminal and nothing elsewhere.
    Warnings go to stderr in every form.
    """
    if progress == "auto":
        progress = "bar" if sys.stderr.isatty() else "none"
    with ExitStack() as stack:
        # An interrupt can fall between two events; the part files must go then too.
        stack.enter_context(closing(stream))
        advance: Callable[[events.Progress], None] = _ignore
        if progress == "bar":
            from .progress_bar import Bar  # late, for a farm draws none and starts quicker

            advance = stack.enter_context(Bar()).advance
        elif progress == "json":
            advance = _JsonLines().advance
        elif progress == "openjd":
            advance = stack.enter_context(_OpenJdLines()).advance
        for event in stream:
            if isinstance(event, events.Progress):
                advance(event)
            elif isinstance(event, events.Warned):
                warn(event)
            elif isinstance(event, events.Routed):
                _tell_route(event, progress)
            elif progress == "json":
                _print({"ev": "done", **dataclasses.asdict(event), "output": str(event.output)})
            elif progress == "openjd":
                click.echo(f"openjd_progress: 100.0\nopenjd_status: {_said(event)}")
            else:
                if event.already:
                    click.echo(f"crossface: {_said(event)}", err=True)
                click.echo(event.output)


def warn(warned: events.Warned) -> None:
    """A line on stderr."""
    click.echo(f"crossface: warning: {warned.message}", err=True)


def _tell_route(routed: events.Routed, progress: Format) -> None:
    if progress == "json":
        _print({"ev": "route", **dataclasses.asdict(routed)})
    elif progress == "openjd":
        click.echo(f"openjd_status: {routed}")
    else:
        click.echo(f"crossface: {routed}", err=True)


def _said(finished: events.Finished) -> str:
    return f"{finished.output}: {'already done' if finished.already else 'done'}"


def _ignore(progress: events.Progress) -> None:
    pass


class _JsonLines:
    """At most a few lines a second."""

    _INTERVAL_S = 0.5

    def __init__(self) -> None:
        self._started: dict[str, float] = {}
        self._printed = 0.0

    def advance(self, progress: events.Progress) -> None:
        now = time.monotonic()
        started = self._started.setdefault(progress.stage, now)
        if now - self._printed < self._INTERVAL_S and progress.frame != progress.of:
            return
        self._printed = now
        fps = progress.frame / max(now - started, 1e-3)
        _print({"ev": "progress", **dataclasses.asdict(progress), "fps": round(fps, 2)})


class _OpenJdLines:
    """Progress of the stage that is farthest, at most once a second, and why it failed."""

    _INTERVAL_S = 1.0
    _STAGES = ("analyze", "convert", "join")

    def __init__(self) -> None:
        self._stage = 0
        self._printed = -self._INTERVAL_S

    def __enter__(self) -> _OpenJdLines:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CrossfaceError):
            click.echo(f"openjd_fail: {error}")

    def advance(self, progress: events.Progress) -> None:
        stage, now = self._STAGES.index(progress.stage), time.monotonic()
        if stage < self._stage or (stage == self._stage and now - self._printed < self._INTERVAL_S):
            return
        self._stage, self._printed = stage, now
        percent = 100.0 * progress.frame / max(1, progress.of)
        click.echo(f"openjd_progress: {min(100.0, percent):.1f}")
        click.echo(f"openjd_status: {progress.stage} {progress.frame}/{progress.of}")


def _print(fields: dict[str, object]) -> None:
    click.echo(json.dumps(fields))


class StatusLine:
    """One line that is written over and over on a terminal; in a log, a line every ten seconds."""

    _LOG_INTERVAL_S = 10.0

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._text = ""
        self._logged_at = -self._LOG_INTERVAL_S

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._text:
            click.echo("" if self._terminal else self._text, err=True)

    def __call__(self, text: str) -> None:
        self._text = text
        now = time.monotonic()
        if self._terminal:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)
        elif now - self._logged_at >= self._LOG_INTERVAL_S:
            self._logged_at, self._text = now, ""
            click.echo(text, err=True)
