"""`python -m memunlearn.models apply --base DIR --patch FILE --out DIR`: base + patch as a plain checkpoint."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memunlearn.errors import UserError
from memunlearn.paths import expanded

if TYPE_CHECKING:
    from memunlearn.models.patches import Patch
    from memunlearn.paragraphs.paragraph_set import ParagraphSet

NAMES = ("float32", "bfloat16", "float16")  # of torch, which is not imported for --help


def main(arguments: Sequence[str] | None = None, program: str = "python -m memunlearn.models") -> int:
    """program: what starts this. Returns the exit code: 0, or 2 after one line about a mistake that the user can mend."""
    parser = argparse.ArgumentParser(prog=program, description="What can be done with a patch.")
    apply = parser.add_subparsers(required=True).add_parser("apply", help="write base + patch as a plain checkpoint")
    apply.add_argument("--base", required=True, metavar="DIR", help="the checkpoint that the run started from, or its Hub name")
    apply.add_argument(
        "--patch",
        required=True,
        metavar="FILE",
        help="a run's patch.safetensors, or its name on the Hub, OWNER/NAME[@REVISION]",
    )
    apply.add_argument("--out", required=True, metavar="DIR", help="where to write: a new or empty folder")
    apply.add_argument(
        "--dtype",
        choices=NAMES,
        default=None,
        help="of the weights that are written (default: as in the base's files). 16 bits round the change: with "
        "rows.safetensors beside the patch the checkpoint is scored again; float32 is the trained model bit for bit",
    )
    options = parser.parse_args(arguments)
    try:
        print(bake_checkpoint(options.base, options.patch, options.out, options.dtype))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def bake_checkpoint(base: str, patch_file: str, out: str, dtype: str | None = None) -> str:
    """Writes base + patch to `out` and says so, with what rounding does to the rows beside the patch.

    dtype: None for that of the base's files. Raises UserError for any mistake, before anything is written.
    """
    import torch
    from transformers.utils import logging  # these here, so that --help answers at once

    from memunlearn.commands.rounded import mean_em, name_of, scored_again
    from memunlearn.models.adapters import adapter_note
    from memunlearn.models.baking import check_target, lost_to_rounding, save_baked
    from memunlearn.models.checkpoint_dtype import DTYPES
    from memunlearn.models.hub_patches import located_patch
    from memunlearn.models.loading import checkpoint_dtype, load_model
    from memunlearn.models.patches import apply_patch, load_patch
    from memunlearn.models.tokenizer_loading import load_tokenizer

    logging.disable_progress_bar()  # what is left on stderr is the error, if there is one
    directory = expanded(out)
    check_target(directory)
    file = located_patch(patch_file)
    patch = load_patch(file)
    sets = _rows_beside(file, patch)
    model = load_model(base)
    kind = checkpoint_dtype(base) if dtype is None else DTYPES[dtype]
    apply_patch(model, patch)
    lost = lost_to_rounding(patch, model, kind)
    again = {} if kind is torch.float32 else sets
    em = {name: mean_em(model, rows) for name, rows in again.items()}
    save_baked(model, directory, load_tokenizer(base), kind)
    del model
    rounded = f"; as {name_of(kind)} {lost:,} of them are the base's again" if lost else ""
    changed = f"{patch.k:,} weights in {len(patch.deltas)} tensors changed by {patch_file}"
    lines = [f"wrote {out} as {name_of(kind)}: {base} with {changed}{rounded}"]
    if (note := adapter_note(base)) is not None:
        lines.append(f"note: {note}")
    if kind is not torch.float32:
        lines.append(scored_again(directory, again, em, kind, torch.device("cpu")).said("--dtype=float32"))
    return "\n".join(lines)


def _rows_beside(patch_file: Path, patch: Patch) -> dict[str, ParagraphSet]:
    """The forget and bystander rows of the run that made the patch, where its rows.safetensors lies beside it."""
    from memunlearn.commands.rounded import CHECKED
    from memunlearn.commands.rows_lookup import rows_beside
    from memunlearn.commands.run_rows import Pool, find_rows
    from memunlearn.paragraphs.row_file import ROWS

    settings = patch.config.get("paragraphs")
    lengths = (settings.get("prefix_length"), settings.get("continuation_length")) if isinstance(settings, dict) else ()
    known = [length for length in lengths if isinstance(length, int)]
    if patch.roles is None or len(known) != 2:
        return {}
    file = rows_beside(patch_file, patch.roles, known[0], known[1])
    if file is None:
        return {}
    found = find_rows(patch.roles, [Pool(ROWS, file.paragraphs, file.bins, file.self_generated)], None)
    places = {name: [place for place, of in enumerate(found.names) if of == name] for name in CHECKED}
    return {name: found.rows.select(members) for name, members in places.items() if members}
