"""evaluate.py certificate=true: what a certificate says that the evaluation alone does not."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from transformers import PreTrainedModel

from memunlearn.commands.certified_texts import facts_of_run, read_search
from memunlearn.commands.inputs import is_demo
from memunlearn.commands.paragraph_table import PREFIX_END, text_of
from memunlearn.demo.model import WHAT_IT_IS
from memunlearn.errors import UserError
from memunlearn.evaluation.suite import Baseline, Measurement, base_measurement
from memunlearn.evaluation.summary import entry_of, summarize
from memunlearn.models.baking import bake
from memunlearn.models.checkpoint_dtype import DTYPES
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.hub_patches import located_patch
from memunlearn.models.patches import Patch
from memunlearn.paragraphs.retain_text import kinds_of, words_of
from memunlearn.paragraphs.roles import row_hashes
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.runs import longest_common_run


def check_certificate(cfg: DictConfig, patch: Patch | None) -> None:
    """Raises UserError where a certificate is wanted and there is nothing that it could be about. patch: that of patch=."""
    if not cfg.certificate.write:
        if cfg.certificate.show_texts:
            raise UserError("certificate.show_texts=true is for a certificate: add certificate=true, or leave it out")
        if cfg.certificate.search is not None:
            raise UserError("certificate.search=DIR is for a certificate: add certificate=true, or leave it out")
    elif patch is None:
        raise UserError("certificate=true is about what a patch has changed: add patch=FILE, or leave it out")
    elif patch.roles is None or not patch.roles.rows.get("forget"):
        raise UserError(
            f"certificate=true: {cfg.patch} does not say which rows were to be forgotten (an older version made it, or a "
            "notebook): make the patch anew, or leave certificate out"
        )
    else:
        texts_of_certificate(cfg, patch)


def texts_of_certificate(cfg: DictConfig, patch: Patch) -> dict[str, Any]:
    """What is said of whole texts. Raises UserError where certificate.search= is of other texts than the patch."""
    search = None if cfg.certificate.search is None else read_search(cfg.certificate.search)
    return facts_of_run(Path(str(cfg.patch)), patch, search)


def certificate_facts(
    cfg: DictConfig,
    patch: Patch,
    model: PreTrainedModel,
    *,
    baseline: Baseline,
    measured: Measurement,
    members: Mapping[str, Tensor],
    tokenizer: Any | None,
) -> dict[str, Any]:
    """What stands under `certificate` in evaluation.json (`results.certificate.content.Facts`).

    model: with the patch applied. members: [N] bool by set, of the rows of baseline and measured. Raises UserError where no
    forget row was found.
    """
    forget = members["forget"]
    if not forget.any():
        raise UserError(
            "certificate=true: none of the rows that this patch was to forget was found: name a file that holds them"
        )
    of_base, now = baseline.select(forget), measured.select(forget)
    rows, length = of_base.paragraphs, of_base.paragraphs.continuation_length
    if of_base.own is None:
        raise ValueError("this baseline was made without the base model's own continuations")
    said_before = of_base.own.continuations
    said_now = greedy_continuations(model, rows.prefixes, length, cfg.batch_size, "decoding what is said now")
    hashes, em_before, em_now = row_hashes(rows.ids), of_base.scores.em.tolist(), now.scores.em.tolist()
    common = [longest_common_run(said, rows.continuations).tolist() for said in (said_before, said_now)]
    places = rows.places or (None,) * len(rows)
    entries: list[dict[str, Any]] = [
        {
            "sha256": hashes[i],
            "origin": rows.origin[i],
            "cluster": int(of_base.clusters[i]),
            "em_before": em_before[i],
            "em_now": em_now[i],
            "longest_common_run_before": common[0][i],
            "longest_common_run_now": common[1][i],
            "text": None if (place := places[i]) is None else place.text,
            "start": None if place is None else place.start,
        }
        for i in range(len(rows))
    ]
    if cfg.certificate.show_texts:
        for i, entry in enumerate(entries):
            parts = {
                "beginning": rows.prefixes[i][-PREFIX_END:],
                "original": rows.continuations[i],
                "before": said_before[i],
                "now": said_now[i],
            }
            entry["texts"] = {name: text_of(ids, tokenizer) for name, ids in parts.items()}
    unlearned, texts = bake(model), texts_of_certificate(cfg, patch)
    hashes_of_files = {
        "base": patch.base_fingerprint,
        "patch": hashlib.sha256(located_patch(str(cfg.patch)).read_bytes()).hexdigest(),
        "unlearned": fingerprint(unlearned),
    }
    if texts.get("searched") is not None:
        texts["searched_as"] = _rounded_to(unlearned, texts["searched"])
    return {
        **texts,
        "model": _model_name(patch),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "prefix_length": rows.prefix_length,
        "length": length,
        "hashes": hashes_of_files,
        "before": _before(baseline, members, cfg.seed),
        "rows": entries,
        "notes": [WHAT_IT_IS] * is_demo(cfg) + _made_text(patch),
    }


def _made_text(patch: Patch) -> list[str]:
    """What ordinary text is, where the run had it made."""
    paragraphs = patch.config.get("paragraphs")
    retain = paragraphs.get("retain") if isinstance(paragraphs, Mapping) else None
    if not words_of(retain):
        return []
    return [f"Ordinary text (retain) is here {kinds_of(retain)}; other kinds of text were not looked at."]


def _rounded_to(model: PreTrainedModel, searched: str) -> str:
    """The dtype in which this model (a copy that may be changed) has the fingerprint `searched`: a checkpoint that was written
    in fewer bits is what a search of it has seen. Raises UserError where it is another model's.
    """
    for name, dtype in DTYPES.items():
        rounded = copy.deepcopy(model)
        nn.Module.to(nn.Module.to(rounded, dtype), torch.float32)
        if fingerprint(rounded) == searched:
            return name
    raise UserError(
        "certificate.search: the search was of another model than this patch makes: search the checkpoint that was made with it"
    )


def _model_name(patch: Patch) -> str | None:
    """As the run called it; of a folder its last part, since a machine's paths tell a reader nothing."""
    model = patch.config.get("model")
    name = model.get("name_or_path") if isinstance(model, Mapping) else None
    if name is None:
        return None
    return Path(str(name)).name if str(name).startswith(("/", "~", ".")) else str(name)


def _before(baseline: Baseline, members: Mapping[str, Tensor], seed: int) -> dict[str, Any]:
    """The base model's entries by set; None for an empty one."""
    measured = base_measurement(baseline)
    summaries = {name: summarize(measured.select(of_set), seed) for name, of_set in members.items()}
    return {name: None if summary is None else entry_of([summary]) for name, summary in summaries.items()}
