"""One training in several processes, one a device: which of them this is, what it does, and what all of them know.

Every function here is for all processes at the same point of the program, and does nothing where there is one process only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

# One that has died is noticed otherwise; one that is alive may have long work to do that the others wait for.
PATIENCE = timedelta(days=7)
Value = TypeVar("Value")
_by_itself: list[bool] = []


@contextlib.contextmanager
def joined(number: int, count: int, meeting: Path, device: torch.device) -> Iterator[None]:
    """This process is the one of this number, from 0, among `count`, which meet by the file `meeting`; device: its own."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the machine's name need not lead anywhere
    on_gpus = device.type == "cuda"
    if on_gpus:
        torch.cuda.set_device(device)
    threads = torch.get_num_threads()
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
        init_method=f"file://{meeting}",
        rank=number,
        world_size=count,
        timeout=PATIENCE,
    )
    if not on_gpus:
        torch.set_num_threads(max(1, min(threads, (os.cpu_count() or 1) // count)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        distributed.destroy_process_group()


def count() -> int:
    """How many processes share the work that is done now."""
    return (
        1 if _by_itself or not distributed.is_available() or not distributed.is_initialized() else distributed.get_world_size()
    )


def number() -> int:
    """Of this process, from 0. The first writes, prints and tracks."""
    return 0 if count() == 1 else distributed.get_rank()


@contextlib.contextmanager
def by_itself() -> Iterator[None]:
    """What is done in here is done by this process alone, whatever the others do: it shares nothing."""
    _by_itself.append(True)
    try:
        yield
    finally:
        _by_itself.pop()


def of_the_first(make: Callable[[], Value]) -> Value:
    """What `make` gives in the first process, in all of them; in the others it is not called. On the CPU."""
    if count() == 1:
        return make()
    made: list[Any] = [None]
    if number() == 0:
        with by_itself():
            made = [make()]
    distributed.broadcast_object_list(made, src=0)
    value: Value = made[0]
    return value


def own(items: Sequence[Value]) -> Sequence[Value]:
    """Every `count`-th of the items: together the processes have each of them once."""
    return items[number() :: count()]


def gathered(results: Sequence[Value]) -> list[Value]:
    """The results of all items, in their order, from those of each process's `own`. On the CPU."""
    if count() == 1:
        return list(results)
    parts: list[Any] = [None] * count()
    distributed.all_gather_object(parts, list(results))
    return [parts[item % count()][item // count()] for item in range(sum(len(part) for part in parts))]


def stacked(values: Tensor) -> Tensor:
    """The values of all processes, of the same shape everywhere: [...] -> [processes, ...]. On the CPU."""
    if count() == 1:
        return values.cpu().unsqueeze(0)
    parts = [torch.empty_like(values, device="cpu") for _ in range(count())]
    distributed.all_gather(parts, values.cpu().contiguous())
    return torch.stack(parts)


def as_in_the_first(tensors: Iterable[Tensor]) -> None:
    """Sets these to what they are in the first process."""
    if count() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor.detach(), src=0)
