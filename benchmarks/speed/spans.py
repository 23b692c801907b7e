"""Where a run's time goes: `python -m benchmarks.speed.spans OUT.json OVERRIDES` is `python train.py OVERRIDES`, watched."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from memunlearn.process import own_process

PARTS = {
    "memunlearn.commands.train:load_inputs": "model and paragraphs",
    "memunlearn.commands.train:split": "scoring and splitting",
    "memunlearn.commands.train:prepare_run": "preparation",
    "memunlearn.unlearning.joint:chosen_mask": "mask",
    "memunlearn.unlearning.kfac:Kfac.__call__": "curvature and solving",
    "lightning:Trainer.fit": "training",
    "memunlearn.unlearning.stopping:StopAndKeep.check": "checks",
    "memunlearn.unlearning.joint:outcome_of": "measuring after",
    "memunlearn.commands.train:write_run": "files and pages",
}
"""What does a part of the work, and the part's name. A part within a part counts for itself alone."""


class Spans:
    """seconds: by part, without the parts within it."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock, self.seconds = clock, {}  # type: ignore[var-annotated]
        self._within: list[float] = []

    def watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function; the time that it takes is the part's."""

        @functools.wraps(function)
        def run(*args: Any, **settings: Any) -> Any:
            started = self.clock()
            self._within.append(0.0)
            try:
                return function(*args, **settings)
            finally:
                took = self.clock() - started
                self.seconds[part] = self.seconds.get(part, 0.0) + took - self._within.pop()
                if self._within:
                    self._within[-1] += took

        return run

    def watch(self, where: str, part: str) -> None:
        """where: module:name or module:class.name, which is replaced there."""
        module, _, path = where.partition(":")
        *outer, name = path.split(".")
        holder = functools.reduce(getattr, outer, import_module(module))
        setattr(holder, name, self.watched(part, getattr(holder, name)))


def main(out: Path, overrides: list[str]) -> None:
    """Raises SystemExit, as the command does, once the file is written."""
    started = time.perf_counter()
    for where in PARTS:
        import_module(where.partition(":")[0])
    spans = Spans()
    for where, part in PARTS.items():
        spans.watch(where, part)
    from memunlearn.commands.apps import run

    imported = time.perf_counter() - started
    sys.argv = ["train.py", *overrides]
    try:
        run("train")
    finally:
        whole = time.perf_counter() - started
        known = {"imports": imported, **spans.seconds}
        out.write_text(json.dumps({**known, "everything else": whole - sum(known.values())}), "utf-8")


if __name__ == "__main__":
    with own_process():
        main(Path(sys.argv[1]), sys.argv[2:])
