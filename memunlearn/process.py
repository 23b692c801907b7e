"""What every command does with its process: how it ends when it is told to, and what its output can hold."""

from __future__ import annotations

import atexit
import codecs
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import NoReturn

# What asks a process to end, and would else end it without a word: Ctrl-C, kill and time limits, a closed terminal, and
# the warnings that batch systems can be told to send before a limit.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)  # Windows has two of them
)
AGAIN = "run the same command again"
# A terminal, a batch system and a wrapper may each pass on the same request.
SAME_REQUEST = 1.0  # seconds
# Until a signal is sent again whose exception Python has dropped: what had no use for it is over then.
SENT_AGAIN = 0.05  # seconds
# Decoration of the libraries that draw progress bars and tables.
PLAIN = {"\u2022": "*", "\u2026": "...", "\u2013": "-", "\u2014": "-"}


class Ended(SystemExit):
    """The process was told to end by this signal. The exit code is the shell's: 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


_how_to_go_on: Callable[[], str] | None = None
_first: tuple[int, float] | None = None  # the signal that came first, and when


def go_on_by(how: Callable[[], str] | None) -> None:
    """Sets what is asked, when the process is told to end, for how to go on; None: by running the same command again."""
    global _how_to_go_on
    _how_to_go_on = how


@contextlib.contextmanager
def own_process() -> Iterator[None]:
    """Around all that a command does, its imports too.

    A signal of SIGNALS ends it with exit code 128 + the signal's number and one line on stderr that says how to go on, after
    everything that is open was closed. A second one, later than a moment, ends it at once. One that comes while Python takes
    itself down, when the command is over, changes nothing. One that comes in a finalizer, of which Python drops what is raised
    there (the module locks of imports have some), ends it a moment later.
    A character that stdout or stderr has no code for is written as an escape.
    """
    global _first
    _first = None
    for stream in (sys.stdout, sys.stderr):
        write_anything(stream)
    heeded = [number for number in SIGNALS if _by_default(number)]
    for number in heeded:
        signal.signal(number, _end)
    dropped, sys.unraisablehook = sys.unraisablehook, _dropped(sys.unraisablehook)
    # Registered first, so called last: from then on Python would let a signal end it without a word, though all is done.
    atexit.register(_ignore, heeded)
    try:
        yield
    except Ended as ended:
        _tell(ended.number)
        raise
    except KeyboardInterrupt:  # from where Ctrl-C was not left to us
        _tell(signal.SIGINT)
        raise Ended(signal.SIGINT) from None
    except Exception as error:
        # What was interrupted in the middle, an import for one, may fail with an error of its own.
        if _first is None:
            raise
        _tell(_first[0])
        raise Ended(_first[0]) from error
    finally:
        sys.unraisablehook = dropped
        for number in heeded:  # what runs at exit would answer Ctrl-C with a traceback
            signal.signal(number, _end_at_once)


def end_if_told() -> None:
    """Raises Ended if a signal came that was lost: some code of others lets no exception through."""
    if _first is not None:
        raise Ended(_first[0])


def write_anything(stream: object) -> None:
    """Makes this stream escape what its encoding does not have, instead of raising; decoration becomes plain."""
    if hasattr(stream, "reconfigure"):  # else it has been replaced, by a notebook or a test
        stream.reconfigure(errors="memunlearn.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in characters), error.end


codecs.register_error("memunlearn.plain", _plain)


def _by_default(number: signal.Signals) -> bool:
    """Whether nobody has decided otherwise: nohup ignores SIGHUP, a shell Ctrl-C for what runs in its background."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> NoReturn | None:
    global _first
    now = time.monotonic()
    if _first is None:
        _first = (number, now)
        raise Ended(number)
    if now - _first[1] > SAME_REQUEST:
        _end_at_once(number, frame)
    return None


def _dropped(otherwise: Callable[[sys.UnraisableHookArgs], object]) -> Callable[[sys.UnraisableHookArgs], None]:
    """Called with each exception that Python drops: a signal's is sent again. otherwise: what others are called with."""

    def dropped(lost: sys.UnraisableHookArgs) -> None:
        global _first
        if not isinstance(lost.exc_value, Ended) or not hasattr(signal, "pthread_kill"):
            otherwise(lost)
            return
        _first = None
        again = threading.Timer(SENT_AGAIN, signal.pthread_kill, (threading.main_thread().ident, lost.exc_value.number))
        again.daemon = True
        again.start()

    return dropped


def _ignore(numbers: Sequence[signal.Signals]) -> None:
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    _tell(number)
    os._exit(128 + number)


def _tell(number: int) -> None:
    how = AGAIN
    with contextlib.suppress(Exception):  # whatever is wrong with the folder that is looked at
        how = AGAIN if _how_to_go_on is None else _how_to_go_on()
    with contextlib.suppress(OSError, ValueError):  # the terminal is gone, or the stream is closed
        print(f"interrupted by {signal.Signals(number).name}: {how}", file=sys.stderr, flush=True)
