"""What a step's NLL and KL take at the head, all rows together and some at a time: `python -m benchmarks.head_losses`.

Random states [rows, C, D] on both sides; the loss is objective=demote, forward and backward down to the states. Interleaved
rounds in one process: medians of seconds with their range, and the most memory that is alive at once beside what is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.memory import MemoryAlive
from memunlearn.objectives.by_rows import LOGITS_AT_ONCE, by_rows, row_kl
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.material import Side


def side_of(head: nn.Linear, rows: int, length: int, device: str) -> Side:
    states, base = (torch.randn(rows, length, head.in_features, device=device) for _ in range(2))
    return Side(
        rows=torch.arange(rows),
        labels=torch.randint(head.out_features, (rows, length), device=device),
        states=states.requires_grad_(),
        head=head,
        vocabulary=head.out_features,
        protected=torch.zeros(rows, dtype=torch.bool),
        read_base_states=lambda: base,
    )


def step(sides: Sequence[Side], at_once: int) -> list[Tensor]:
    """The gradients by both sides' states: forget, retain. at_once: 0 for all rows together."""
    forget, retain = (replace(side) for side in sides)  # with nothing kept of an earlier round
    if at_once:
        term = by_rows(Demote().forget_rows, forget, at_once)[0].mean() + by_rows(row_kl, retain, at_once)[0].mean()
    else:
        term = Demote().forget_rows(forget)[0].mean() + row_kl(retain)[0].mean()
    return list(torch.autograd.grad(term, [forget.states, retain.states]))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument("--rows", type=int, default=16, help="of either side")
    arguments.add_argument("--length", type=int, default=50)
    arguments.add_argument("--width", type=int, default=768)
    arguments.add_argument("--vocabulary", type=int, default=50_257)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--at-once", type=int, nargs="*", default=[LOGITS_AT_ONCE], help="logits of one model at a time")
    asked = arguments.parse_args()
    torch.manual_seed(0)
    head = nn.Linear(asked.width, asked.vocabulary, bias=False, device=asked.device).requires_grad_(False)
    sides = [side_of(head, asked.rows, asked.length, asked.device) for _ in range(2)]
    ways = {"all rows together": 0} | {f"{at_once:,} logits at a time": at_once for at_once in asked.at_once}
    runs = {name: partial(step, sides, at_once) for name, at_once in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(asked.rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            float(run()[0].sum())  # waits for the device
            seconds[name].append(time.perf_counter() - started)
    wanted = runs["all rows together"]()
    for name, run in runs.items():
        with MemoryAlive() as memory:
            given = run()
        apart = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(given, wanted, strict=True))
        times = seconds[name]
        print(
            f"{name}: {statistics.median(times):.3f} s ({min(times):.3f} to {max(times):.3f}), "
            f"{memory.peak / 2**20:,.0f} MiB, gradients apart by {apart:.1g} of the largest"
        )


if __name__ == "__main__":
    main()
