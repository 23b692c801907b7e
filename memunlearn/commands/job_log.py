"""A job's log file holds what the terminal said, so that a job on a cluster, or one of a sweep, can be read afterwards."""

from __future__ import annotations

import re
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from memunlearn.commands.mistakes import mistake
from memunlearn.passwords import without_passwords

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@contextmanager
def also_in(file: Path) -> Iterator[None]:
    """What is printed goes to the end of this file, too, and why it ended where it ends with an exception.

    Of a line that is drawn again and again (a progress bar) the last state is kept. Log records go there by themselves: Hydra's
    handlers write to the streams that were there before.
    """
    with file.open("a", encoding="utf-8", errors="backslashreplace") as log:
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (Both(stream, log) for stream in streams)
        try:
            yield
        except Exception as error:
            line = mistake(error)
            said = "".join(traceback.format_exception(error)) if line is None else f"error: {line}\n"
            log.write(without_passwords(said))
            raise
        finally:
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, Both):
                    stream.end()
            sys.stdout, sys.stderr = streams


class Both:
    """A stream that is written to a log, too, line by line; everything else about it is the stream's."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log
        self._line = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        with self._lock:
            *lines, self._line = (self._line + text).split("\n")
            self._keep(lines)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def end(self) -> None:
        """Of the log: what has no line's end yet is one."""
        with self._lock:
            self._keep([self._line] if self._line else [])
            self._line = ""

    def _keep(self, lines: list[str]) -> None:
        for line in lines:
            shown = CONTROL.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip()
            self._log.write(f"{without_passwords(shown)}\n")
        if lines:
            self._log.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
