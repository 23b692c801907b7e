"""The machine that is measured: its name, its clock and its memory."""

from __future__ import annotations

import contextlib
import platform
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Machine:
    """device: "cpu" or "cuda". name: of the processor or the card. threads: of PyTorch; of no meaning on a card."""

    device: str
    name: str
    threads: int
    torch: str

    @staticmethod
    def of(device: str) -> Machine:
        name = torch.cuda.get_device_name() if device == "cuda" else processor()
        return Machine(device=device, name=name, threads=torch.get_num_threads(), torch=torch.__version__)


def processor() -> str:
    """The processor's name and how many cores of it there are to use."""
    with contextlib.suppress(OSError):
        if named := re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE):
            return named[1]
    return platform.processor() or platform.machine()


def clock(device: str) -> Callable[[], float]:
    """Seconds, once all that was asked of the device is done; with one thread on a CPU those that the processor worked for this
    process, of which nothing that the machine does otherwise is a part."""

    def synchronized() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    if device == "cuda":
        return synchronized
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


@dataclass
class Peak:
    """mib: memory taken at most beyond what was held at the start; None where this system does not tell."""

    mib: float | None = field(default=None)


@contextlib.contextmanager
def peak_memory(device: str) -> Iterator[Peak]:
    """What is done meanwhile says how much memory it took, on the card or, of the process, on the host."""
    peak = Peak()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        yield peak
        torch.cuda.synchronize()
        peak.mib = (torch.cuda.max_memory_allocated() - held) / MIB
        return
    try:
        CLEAR.write_text("5")  # the highest resident size so far is that of now
        started = _resident("VmRSS")
    except (OSError, ValueError):
        yield peak
        return
    yield peak
    peak.mib = max(0.0, _resident("VmHWM") - started)


def _resident(what: str) -> float:
    """A line of /proc/self/status, MiB. Raises ValueError where there is none."""
    found = re.search(rf"^{what}:\s*(\d+) kB$", STATUS.read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise ValueError(f"{STATUS} has no {what}")
    return int(found[1]) / 1024
