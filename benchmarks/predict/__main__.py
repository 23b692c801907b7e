"""`python -m benchmarks.predict --read speed.json`: what mining a corpus, a larger model and a sweep would cost."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.pages import add_page, write_where_asked
from benchmarks.predict.costs import (
    Rate,
    factor_bytes,
    scoring_flops,
    scoring_seconds,
    step_bytes,
    step_flops,
    step_seconds,
)
from benchmarks.rounds import ratios
from benchmarks.speed.sizes import SIZES, Lengths, Size
from benchmarks.speed.workload import OURS, PRODUCTS
from memunlearn.errors import UserError
from memunlearn.process import own_process

GIB, DAY = 2**30, 86_400
LARGE = {**{name: SIZES[name] for name in ("30m", "125m", "1.3b")}, "20B": Size(44, 6144, 64, 50432)}
"""The last: GPT-NeoX 20B's layers, width, heads and vocabulary (arXiv 2204.06745)."""
ROWS, MASKS = 16, (1.0, 0.05, 0.001)


def rate_of(measured: Mapping[str, Any]) -> Rate:
    """The rate of a machine whose workloads `scoring` and `step_all` were measured. Raises UserError where they were not."""
    workloads = {workload["name"]: workload for workload in measured["workloads"]}
    shares = {}
    for name in ("scoring", "step_all"):
        if name not in workloads:
            raise UserError(f"the file has no {name}: measure with --only scoring step, or all")
        seconds = workloads[name]["seconds"]
        shares[name] = median(ratios(seconds[PRODUCTS], seconds[OURS]))
    products = workloads["scoring"]
    peak = products["flops"][PRODUCTS] / median(products["seconds"][PRODUCTS])
    return Rate(peak, shares["scoring"], shares["step_all"])


def model_table(rate: Rate, lengths: Lengths) -> list[str]:
    """Seconds and bytes by size of the model."""
    heads = (
        "| size | GFLOP a row scored | s a row scored | GFLOP a row of a step | s a row of a step | weights, GiB | step, GiB |"
    )
    lines = [heads + " base states, KiB a row | K-FAC factors, GiB |", "|" + " --- |" * 9]
    for name, size in LARGE.items():
        needed = [step_bytes(size, lengths, rows=2 * ROWS, chosen=share, known_rows=1) for share in MASKS]
        step = " / ".join(f"{of_mask.on_device / GIB:.3g}" for of_mask in needed)
        cells = [
            name,
            f"{scoring_flops(size, lengths) / 1e9:,.0f}",
            f"{scoring_seconds(size, lengths, rate):.3g}",
            f"{step_flops(size, lengths) / 1e9:,.0f}",
            f"{step_seconds(size, lengths, rate):.3g}",
            f"{needed[0].weights / GIB:.3g}",
            step,
            f"{needed[0].kept / 1024:,.0f}",
            f"{factor_bytes(size) / GIB:.3g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def work_table(rate: Rate, lengths: Lengths, asked: argparse.Namespace) -> list[str]:
    """Days of one machine for mining a corpus, and for the steps of a sweep."""
    windows = asked.tokens / (lengths.prefix + lengths.continuation)
    lines = ["| model | mining, days | of 1,000 machines, hours | a run's steps, hours | the sweep's steps, days |"]
    lines.append("|" + " --- |" * 5)
    for name, size in LARGE.items():
        mining = windows * scoring_seconds(size, lengths, rate)
        run = asked.steps * 2 * ROWS * step_seconds(size, lengths, rate)
        cells = [name, *(f"{x:,.3g}" for x in (mining / DAY, mining / 3600 / 1000, run / 3600, asked.jobs * run / DAY))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def start_of(measured: Mapping[str, Any]) -> float:
    """Seconds of a run that no model takes part in: imports, and what none of its other parts is. Raises UserError where the
    workload `run` was not measured."""
    for workload in measured["workloads"]:
        if workload["name"] == "run":
            seconds: Mapping[str, Sequence[float]] = workload["seconds"]
            return sum(median(seconds[part]) for part in ("imports", "everything else"))
    raise UserError("the file of --commands has no run: measure with --only runs")


def told(measured: Mapping[str, Any] | None, rate: Rate, asked: argparse.Namespace) -> str:
    lengths = Lengths(asked.prefix, asked.continuation)
    source = f"measured on {measured['machine']['name']}" if measured else "assumed, not measured"
    lines = [
        f"Matrix products {rate.peak / 1e12:.3g} TFLOP/s, of which scoring reaches {rate.scoring:.0%} and a step "
        f"{rate.step:.0%} ({source}); rows of {lengths.prefix} + {lengths.continuation} tokens; a step of {ROWS} + {ROWS} rows "
        f"of logits; step memory with all / 5 % / 0.1 % of the weights, fp32, without the blocks' activations.",
        "",
        *model_table(rate, lengths),
        "",
        f"Mining {asked.tokens:.3g} tokens, every window once; {asked.jobs:,} jobs of {asked.steps} steps:",
        "",
        *work_table(rate, lengths, asked),
    ]
    if asked.commands is not None:
        start = start_of(json.loads(asked.commands.read_text("utf-8")))
        lines += ["", f"Starting a process takes {start:.3g} s: {asked.jobs:,} of them {start * asked.jobs / 3600:.3g} hours."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    asked = parser().parse_args(arguments)
    try:
        measured = None
        if asked.tflops is not None:
            rate = Rate(asked.tflops * 1e12, asked.scoring_share, asked.step_share)
        else:
            files = [json.loads(path.read_text("utf-8")) for path in asked.read]
            measured = {**files[0], "workloads": [workload for file in files for workload in file["workloads"]]}
            rate = rate_of(measured)
        text = told(measured, rate, asked)
        print(text)
        write_where_asked(asked, text)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.predict", description="What large work would cost.")
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument("--read", type=Path, nargs="+", metavar="FILE", help="what benchmarks.speed has measured")
    source.add_argument("--tflops", type=float, help="assume a machine: what its matrix products reach")
    made.add_argument(
        "--scoring-share", type=float, default=0.8, help="with --tflops: of it, what scoring reaches (default: .8)"
    )
    made.add_argument("--step-share", type=float, default=0.4, help="with --tflops: of it, what a step reaches (default: .4)")
    made.add_argument("--commands", type=Path, metavar="FILE", help="where benchmarks.speed has measured runs")
    made.add_argument("--prefix", type=int, default=50)
    made.add_argument("--continuation", type=int, default=50)
    made.add_argument("--tokens", type=float, default=3e11, help="of the corpus (default: 300 billion, about the Pile's)")
    made.add_argument("--jobs", type=int, default=1000, help="of the sweep (default: 1000)")
    made.add_argument("--steps", type=int, default=60, help="of a job (default: 60)")
    add_page(made, "predicted")
    return made


if __name__ == "__main__":
    with own_process():
        sys.exit(main())
