"""`python -m memunlearn.models apply --base DIR --patch FILE --out DIR`: base + patch as a plain checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from memunlearn.errors import UserError
from memunlearn.paths import expanded
from memunlearn.process import own_process

DTYPES = ("float32", "bfloat16", "float16")  # of torch, which is not imported for --help


def main(arguments: Sequence[str] | None = None, program: str = "python -m memunlearn.models") -> int:
    """program: what starts this. Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    parser = argparse.ArgumentParser(prog=program, description="What can be done with a patch.")
    apply = parser.add_subparsers(required=True).add_parser("apply", help="write base + patch as a plain checkpoint")
    apply.add_argument("--base", required=True, metavar="DIR", help="the checkpoint that the run started from, or its Hub name")
    apply.add_argument(
        "--patch", required=True, metavar="FILE", help="a run's patch.safetensors, or its Hub name OWNER/NAME[@REVISION]"
    )
    apply.add_argument("--out", required=True, metavar="DIR", help="where to write: a new or empty folder")
    apply.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="of the weights that are written; 16 bits halve the checkpoint and round the change (default: float32)",
    )
    options = parser.parse_args(arguments)
    try:
        print(bake_checkpoint(options.base, options.patch, options.out, options.dtype))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def bake_checkpoint(base: str, patch_file: str, out: str, dtype: str = "float32") -> str:
    """Writes base + patch to `out` and says so. Raises UserError for any mistake, before anything is written."""
    import torch
    from transformers.utils import logging  # these here, so that --help answers at once

    from memunlearn.models.baking import check_target, lost_to_rounding, save_baked
    from memunlearn.models.loading import load_model, load_tokenizer
    from memunlearn.models.patches import apply_patch, load_patch

    logging.disable_progress_bar()  # what is left on stderr is the error, if there is one
    directory, kind = expanded(out), getattr(torch, dtype)
    check_target(directory)
    patch = load_patch(patch_file)
    model = load_model(base)
    apply_patch(model, patch)
    lost = lost_to_rounding(patch, model, kind)
    save_baked(model, directory, load_tokenizer(base), kind)
    rounded = f"; as {dtype} {lost:,} of them are the base's again" if lost else ""
    changed = f"{patch.k:,} weights in {len(patch.deltas)} tensors changed by {patch_file}"
    return f"wrote {out} as {dtype}: {base} with {changed}{rounded}"


if __name__ == "__main__":
    with own_process():
        sys.exit(main())
