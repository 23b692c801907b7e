"""`python -m benchmarks.speed --size 125m --device cpu`: what work costs beside what a user would do instead."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.pages import add_page, write_where_asked
from memunlearn.errors import UserError
from memunlearn.process import own_process

WORKLOADS = ("scoring", "step", "sweep", "gradients", "growth", "processes", "runs", "kfac")
SIZES = ("tiny", "demo", "30m", "125m", "1.3b")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    asked = parser().parse_args(arguments)
    try:
        if asked.read:
            results = [json.loads(Path(path).read_text("utf-8")) for path in asked.read]
        else:
            results = [measure(asked)]
        from benchmarks.speed.tables import page

        text = "\n".join(page(measured) for measured in results)
        print(text)
        write_where_asked(asked, text)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for, as the file has it, which is written anew after each workload.

    Raises UserError where there is no such device.
    """
    import torch

    from benchmarks.speed import sizes
    from benchmarks.speed.device import Machine
    from benchmarks.speed.workload import Given
    from memunlearn.commands.inputs import quiet_libraries

    quiet_libraries()
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no card here: use --device cpu")
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    given = Given(
        size=sizes.SIZES[asked.size],
        lengths=sizes.Lengths(asked.prefix, asked.continuation),
        rows=asked.rows,
        rounds=asked.rounds,
        device=asked.device,
        precision=asked.precision,
    )
    settings = {name: getattr(asked, name) for name in ("size", "rows", "rounds", "prefix", "continuation", "precision")}
    measured: dict[str, Any] = {
        "command": command_of(asked),
        "machine": asdict(Machine.of(asked.device)),
        "settings": settings,
        "workloads": [],
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    for name in asked.only or WORKLOADS:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        measured["workloads"] += [asdict(workload) for workload in of_name(name)(given)]
        asked.out.write_text(json.dumps(measured, indent=1) + "\n", "utf-8")  # whatever becomes of the next one
    return measured


def command_of(asked: argparse.Namespace) -> str:
    """What measures the same again: without where it was written."""
    words = ["python -m benchmarks.speed"]
    for name in ("size", "device", "precision", "rows", "rounds", "prefix", "continuation", "threads", "only"):
        value, default = getattr(asked, name), parser().get_default(name)
        if value != default:
            words.append(f"--{name} {' '.join(value) if isinstance(value, list) else value}")
    return " ".join(words)


def of_name(name: str) -> Callable[[Any], list[Any]]:
    """What measures it; imported only now, so that --help answers at once."""
    from benchmarks.speed.gradients import gradients
    from benchmarks.speed.growth import growth
    from benchmarks.speed.prefix_sweep import prefix_sweep
    from benchmarks.speed.runs import processes, run_and_sweep
    from benchmarks.speed.scoring import scoring
    from benchmarks.speed.training_step import kfac_steps, training_steps

    functions = (scoring, training_steps, prefix_sweep, gradients, growth, processes, run_and_sweep, kfac_steps)
    return dict(zip(WORKLOADS, functions, strict=True))[name]


def count(word: str) -> int:
    """A whole number from 1 on."""
    if not word.isdecimal() or not int(word):
        raise argparse.ArgumentTypeError(f"{word} must be 1 or more, and a whole number")
    return int(word)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description="Measure what work costs beside what a user would do instead."
    )
    made.add_argument("--size", choices=SIZES, default="125m", help="of the GPT-Neo, with random weights (default: 125m)")
    made.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    made.add_argument("--precision", choices=("32-true", "bf16-mixed"), default="32-true")
    made.add_argument(
        "--rows", type=count, default=4, help="of a batch; of a step: forget rows, and as many to keep (default: 4)"
    )
    made.add_argument("--rounds", type=count, default=3, help="that count; one more comes first (default: 3)")
    made.add_argument("--prefix", type=count, default=50, help="tokens (default: 50)")
    made.add_argument("--continuation", type=count, default=50, help="tokens (default: 50)")
    made.add_argument("--threads", type=count, help="of PyTorch on the CPU (default: its own)")
    made.add_argument("--only", nargs="+", choices=WORKLOADS, help="these alone (default: all)")
    made.add_argument("--out", type=Path, default=Path("outputs/speed.json"), help="(default: outputs/speed.json)")
    made.add_argument("--read", nargs="+", metavar="FILE", help="measure nothing: show what is in these files")
    add_page(made, "speed")
    return made


if __name__ == "__main__":
    with own_process():
        sys.exit(main())
