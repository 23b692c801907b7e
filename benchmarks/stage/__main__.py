"""`python -m benchmarks.stage --size 30m --out DIR`: trains a model until it recites, for memunlearn's commands to work on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.stage.recipe import RECIPES
from memunlearn.errors import UserError
from memunlearn.process import own_process

ACCELERATORS = ("auto", "cpu", "gpu")
PRECISIONS = ("32-true", "bf16-mixed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    recipe = RECIPES[options.size]
    if options.precision is not None:
        recipe = replace(recipe, precision=options.precision)
    try:
        from benchmarks.stage.build import Request, build  # these here, so that --help answers at once
        from memunlearn.commands.inputs import quiet_libraries

        quiet_libraries()
        request = Request(
            size=options.size,
            recipe=recipe,
            seed=options.seed,
            rows=options.rows,
            text=options.text,
            tokenizer=options.tokenizer,
            accelerator=options.accelerator,
        )
        print(build(request, options.out))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.stage",
        description="Train a GPT-Neo until it recites rows of real text. The same command again goes on after a kill.",
    )
    made.add_argument(
        "--out", required=True, metavar="DIR", help="where to write the model and its rows: a new or empty folder"
    )
    made.add_argument(
        "--size", choices=RECIPES, default="30m", help="tiny: seconds; 30m: half an hour on two cores; 125m: minutes on a GPU"
    )
    made.add_argument(
        "--rows",
        nargs="+",
        metavar="FILE",
        help="rows to recite: ids [N, 100], or a column of text, as paragraphs=files reads them; two files are prefixes and "
        "continuations (default: windows of the text)",
    )
    made.add_argument("--text", metavar="PATH", help="a text file or a folder of them (default: this Python's own modules)")
    made.add_argument("--tokenizer", metavar="DIR", help="of the rows (default: a byte-level BPE trained on the text)")
    made.add_argument("--seed", type=int, default=0, help="which rows are memorized, and the weights at the start (default: 0)")
    made.add_argument("--accelerator", choices=ACCELERATORS, default="auto", help="(default: a GPU where there is one)")
    made.add_argument("--precision", choices=PRECISIONS, help="where bf16 is slow, 32-true (default: the recipe's)")
    return made


if __name__ == "__main__":
    with own_process():
        sys.exit(main())
