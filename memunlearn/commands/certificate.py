"""evaluate.py certificate=true: what a certificate says that the evaluation alone does not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor
from transformers import PreTrainedModel

from memunlearn.commands.paragraph_table import PREFIX_END, text_of
from memunlearn.errors import UserError
from memunlearn.evaluation.suite import Baseline, Measurement
from memunlearn.models.baking import bake
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.roles import row_hashes
from memunlearn.paths import expanded
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.runs import longest_common_run


@dataclass(frozen=True)
class Asked:
    """A certificate is wanted. show_texts: with the texts themselves."""

    show_texts: bool


def asked_certificate(cfg: DictConfig, patch: Patch | None) -> Asked | None:
    """None where no certificate is wanted. Raises UserError where there is nothing that it could be about."""
    if not cfg.certificate.write:
        if cfg.certificate.show_texts:
            raise UserError("certificate.show_texts=true is for a certificate: add certificate=true, or leave it out")
        return None
    if patch is None:
        raise UserError("certificate=true is about what a patch has changed: add patch=FILE, or leave it out")
    if patch.roles is None or not patch.roles.rows.get("forget"):
        raise UserError(
            f"certificate=true: {cfg.patch} does not say which rows were to be forgotten (an older version made it, or a "
            "notebook): make the patch anew, or leave certificate out"
        )
    return Asked(cfg.certificate.show_texts)


def certificate_facts(
    asked: Asked,
    model: PreTrainedModel,
    patch: Patch,
    *,
    file: Path,
    baseline: Baseline,
    measured: Measurement,
    forget: Tensor,
    before: Mapping[str, Any],
    notes: Sequence[str],
    tokenizer: Any | None,
    batch_size: int,
) -> dict[str, Any]:
    """What stands under `certificate` in evaluation.json (`results.certificate.content.Facts`).

    model: with the patch applied. file: the patch's. forget: [N] bool of the rows of baseline and measured. before: the base
    model's entries by set. Raises UserError where no forget row was found.
    """
    if not forget.any():
        raise UserError(
            "certificate=true: none of the rows that this patch was to forget was found: name a file that holds them"
        )
    of_base, now = baseline.select(forget), measured.select(forget)
    rows, length = of_base.paragraphs, of_base.paragraphs.continuation_length
    if of_base.own is None:
        raise ValueError("this baseline was made without the base model's own continuations")
    said_before = of_base.own.continuations
    said_now = greedy_continuations(model, rows.prefixes, length, batch_size, "decoding what is said now")
    hashes, em_before, em_now = row_hashes(rows.ids), of_base.scores.em.tolist(), now.scores.em.tolist()
    common = [longest_common_run(said, rows.continuations).tolist() for said in (said_before, said_now)]
    entries: list[dict[str, Any]] = [
        {
            "sha256": hashes[i],
            "origin": rows.origin[i],
            "cluster": int(of_base.clusters[i]),
            "em_before": em_before[i],
            "em_now": em_now[i],
            "longest_common_run_before": common[0][i],
            "longest_common_run_now": common[1][i],
        }
        for i in range(len(rows))
    ]
    if asked.show_texts:
        for i, entry in enumerate(entries):
            parts = {
                "beginning": rows.prefixes[i][-PREFIX_END:],
                "original": rows.continuations[i],
                "before": said_before[i],
                "now": said_now[i],
            }
            entry["texts"] = {name: text_of(ids, tokenizer) for name, ids in parts.items()}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "prefix_length": rows.prefix_length,
        "length": length,
        "hashes": {
            "base": patch.base_fingerprint,
            "patch": hashlib.sha256(expanded(file).read_bytes()).hexdigest(),
            "unlearned": fingerprint(bake(model)),
        },
        "before": dict(before),
        "rows": entries,
        "notes": list(notes),
    }
