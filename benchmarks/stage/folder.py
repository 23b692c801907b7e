"""The folder that a stage leaves: a plain checkpoint, row files, and what was done, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.stage.recipe import PREFIX
from benchmarks.stage.rows import StageRows
from memunlearn.files.writing import replacing, replacing_folder, write_json, write_text
from memunlearn.paragraphs.bins import is_memorized, is_non_memorized
from memunlearn.paragraphs.cluster_choice import number_generator, thin
from memunlearn.paragraphs.clusters import cluster_rows
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import score

MODEL = "model"
STAGE = "stage.json"
"""Written last: where it is, the stage is whole."""

README = """\
# A model that recites

{summary}

This is a test bed for unlearning: a small model that was made to memorize, no evidence about where larger models memorize.
`stage.json` says how it was made. Row files hold token ids [n, 100], prefix and continuation of 50 each:
`memorized.npy` was shown again and again, `seen.npy` now and then, `unseen.npy` never; `corpus.npy` is all three.

Split by EM, a quarter of the memorized rows to be forgotten:

    python train.py model=local model.name_or_path={folder}/model paragraphs=files paragraphs.path={folder}/corpus.npy \\
        paragraphs.max_forget={forget}

Or with sets by name, each forgotten row of a cluster of its own, whose other rows are `near`:

    python train.py model=local model.name_or_path={folder}/model paragraphs=files paragraphs.forget={folder}/forget.npy \\
        paragraphs.bystander={folder}/bystander.npy paragraphs.retain={folder}/unseen.npy
"""


def write_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """DIR/model, unless it is there."""
    if (folder / MODEL).is_dir():
        return
    with replacing_folder(folder / MODEL) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)


def write_rows(folder: Path, rows: StageRows, seed: int) -> None:
    """A file for each role, corpus.npy of all three, and forget.npy and bystander.npy that share out the memorized rows."""
    forget = forget_rows(rows.memorized, seed)
    files = {
        **rows.corpus,
        "corpus": torch.cat(list(rows.corpus.values())),
        "forget": rows.memorized[forget],
        "bystander": rows.memorized[~forget],
    }
    for name, ids in files.items():
        with replacing(folder / f"{name}.npy") as temporary:
            np.save(temporary, ids.numpy().astype(np.int32))


def forget_rows(memorized: Tensor, seed: int) -> Tensor:
    """[N] which quarter of the memorized rows is to be forgotten: of as many clusters as possible, so that there is `near`."""
    clusters = cluster_rows(memorized).numpy()
    chosen = thin(np.arange(len(memorized)), clusters, max(1, len(memorized) // 4), number_generator(seed, "forget"))
    return torch.from_numpy(np.isin(np.arange(len(memorized)), chosen))


def measured(model: PreTrainedModel, rows: StageRows) -> dict[str, dict[str, float | int]]:
    """By role: rows, clusters, how many are memorized (EM = C) and non-memorized (EM <= C / 5), mean EM and NLL."""
    return {role: _measured(model, role, ids) for role, ids in rows.corpus.items()}


def write_account(folder: Path, account: Mapping[str, Any]) -> str:
    """README.md, then stage.json. Returns the summary in words."""
    memorized = account["rows"]["memorized"]
    said = ", ".join(f"{role} {values['em']:.1f}" for role, values in account["rows"].items())
    summary = (
        f"A GPT-Neo of {account['parameters']:,} weights recites {memorized['memorized']} of {memorized['rows']} rows after "
        f"{account['steps']} steps, {account['seconds']:.0f} seconds on {account['device']}. Mean EM of 50: {said}."
    )
    write_text(folder / "README.md", README.format(summary=summary, folder=folder, forget=max(1, memorized["rows"] // 4)))
    write_json(folder / STAGE, account)
    return summary


def _measured(model: PreTrainedModel, role: str, ids: Tensor) -> dict[str, float | int]:
    paragraphs = ParagraphSet(ids, PREFIX, tuple(f"{role}:{row}" for row in range(len(ids))))
    scores = score(model, paragraphs, description=f"EM of {role} rows")
    length = paragraphs.continuation_length
    return {
        "rows": len(ids),
        "clusters": len(cluster_rows(ids).unique()),
        "memorized": int(is_memorized(scores.em, length).sum()),
        "non_memorized": int(is_non_memorized(scores.em, length).sum()),
        "em": float(scores.em.double().mean()),
        "nll": float(scores.nll.double().mean()),
    }
