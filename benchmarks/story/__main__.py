"""`python -m benchmarks.story --size 125m --out DIR`: from nothing to the page, with the seconds of each chapter."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.story.chapters import PLANS, Chapter, chapters
from memunlearn.errors import UserError
from memunlearn.files.writing import write_json
from memunlearn.process import own_process

ROOT = Path(__file__).parents[2]
STORY = "story.json"
"""Seconds of each chapter, by name, of the time that it was told."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line about a chapter that failed."""
    asked = parser().parse_args(arguments)
    try:
        tell(chapters(asked.size, asked.out.resolve()), asked.out.resolve())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def tell(of: Sequence[Chapter], folder: Path, clock: Callable[[], float] = time.perf_counter) -> None:
    """Every chapter that is not complete. Raises UserError where one fails, or does not leave what it should."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / STORY
    seconds: dict[str, float] = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    for chapter in of:
        if chapter.left(folder) >= chapter.count:
            print(f"{chapter.name}: complete already", flush=True)
            continue
        command = shlex.join(["python", *chapter.arguments])
        print(f"{chapter.name}: {command}", flush=True)
        started = clock()
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run([sys.executable, *chapter.arguments], cwd=ROOT, env=environment, check=False)
        # A sweep of which a job has failed is told to its end, and its page says what is missing.
        if not chapter.left(folder):
            raise UserError(
                f"{chapter.name}: exit code {ended.returncode}: mend it, and give the same command again: {command}"
            )
        seconds[chapter.name] = round(clock() - started, 1)
        write_json(kept, seconds)
    for name, took in seconds.items():
        print(f"{took:8.1f} s  {name}")
    print(f"Open {folder / of[-1].leaves}")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.story",
        description="Train a model until it recites, find, localize, unlearn, edit, attack, and write the page. The same "
        "command again goes on where it stopped.",
    )
    made.add_argument("--size", choices=PLANS, default="125m", help="tiny: a trial; 125m: for a GPU of 80 GB (default)")
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to")
    return made


if __name__ == "__main__":
    with own_process():
        sys.exit(main())
