"""What is wrong with a file: raised at once, or collected as warnings; and libav's log as last witness."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

import av.logging

from ...errors import BadInputError


class Damage:
    """Damage of one file, met in any thread.

    Args:
        path: the file, for messages.
        tolerate: collect instead of raising.

    Attributes:
        warnings: the first line of each kind as it is met, and counts once `summarise` was called.
    """

    def __init__(self, path: Path, *, tolerate: bool) -> None:
        self.path = path
        self.tolerate = tolerate
        self.warnings: list[str] = []
        self._kinds: Counter[str] = Counter()

    def meet(self, kind: str, what: str) -> None:
        """Tell damage.

        Args:
            kind: words that count further damage of its kind, such as "damaged frames".
            what: the sentence of this one, without the file's name.

        Raises:
            BadInputError: damage is not tolerated.
        """
        if not self.tolerate:
            raise BadInputError(
                f"{self.path}: {what}: export the clip again, or accept damage with --tolerate-damage"
            )
        self.warn(kind, what)

    def warn(self, kind: str, what: str) -> None:
        """Tell something that does not stop anybody."""
        self._kinds[kind] += 1
        if self._kinds[kind] == 1:
            self.warnings.append(self._line(what))

    def count(self, kind: str) -> int:
        return self._kinds[kind]

    def summarise(self) -> None:
        """Add how many there were of each kind that was met more than once."""
        self.warnings += [self._line(f"{count} {kind}") for kind, count in self._kinds.items() if count > 1]
        self._kinds.clear()

    def _line(self, what: str) -> str:
        # A file's name may hold a line feed.
        text = f"{self.path}: {what}"
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


@dataclass(frozen=True)
class LogLine:
    """One message of libav.

    Attributes:
        name: who spoke, a codec or a container.
        text: on one line.
        shared: it may be about another file.
    """

    name: str
    text: str
    shared: bool


class DecoderLog:
    """Error messages of one decoder and demuxer, as long as this is open.

    libav has one log for the whole process and says only which codec speaks. Where two open
    logs wait for the same codec, both get the message and know that it may not be theirs.

    Args:
        names: whose messages count, such as ``h264``.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._messages: deque[LogLine] = deque(maxlen=64)
        _OPEN_LOGS.join(self)

    def take(self) -> list[LogLine]:
        """Messages since the last call."""
        _OPEN_LOGS.deliver()
        taken = []
        while self._messages:
            taken.append(self._messages.popleft())
        return taken

    def close(self) -> None:
        _OPEN_LOGS.leave(self)

    def waits_for(self, name: str) -> bool:
        return name in self._names

    def put(self, line: LogLine) -> None:
        self._messages.append(line)


class _OpenLogs:
    """Listens to libav while anybody waits. There is one, as libav has one log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: list[DecoderLog] = []
        self._capture: av.logging.Capture | None = None
        self._heard: list[tuple[int, str, str]] = []
        self._level_before: int | None = None
        self._skipped_repeats = True

    def join(self, log: DecoderLog) -> None:
        with self._lock:
            if self._capture is None:
                self._level_before = av.logging.get_level()
                # Frame threads of a decoder log too: a capture of this thread alone would miss them.
                self._capture = av.logging.Capture(local=False)
                self._heard = self._capture.__enter__()
                av.logging.set_level(av.logging.ERROR)
                self._skipped_repeats = av.logging.get_skip_repeated()
                av.logging.set_skip_repeated(False)
                # A repeat that was held back comes out before the next message: now, and not later as ours.
                av.logging.log(av.logging.ERROR, "crossface", "listening")
                self._heard.clear()
            # What was said before is for those who listened then.
            self._deliver()
            self._logs.append(log)

    def leave(self, log: DecoderLog) -> None:
        with self._lock:
            if log in self._logs:
                self._logs.remove(log)
            if not self._logs and self._capture is not None:
                av.logging.set_skip_repeated(self._skipped_repeats)
                av.logging.set_level(self._level_before)
                self._capture.__exit__(None, None, None)
                self._capture = None

    def deliver(self) -> None:
        with self._lock:
            self._deliver()

    def _deliver(self) -> None:
        count = len(self._heard)
        for level, name, message in self._heard[:count]:
            waiting = [log for log in self._logs if log.waits_for(name)]
            for log in waiting:
                if level <= av.logging.ERROR:
                    log.put(LogLine(name, " ".join(message.split()), len(waiting) > 1))
        del self._heard[:count]


_OPEN_LOGS = _OpenLogs()
