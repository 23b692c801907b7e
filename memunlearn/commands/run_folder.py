"""What a run leaves in its folder (DESIGN section 4); result.json comes last."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger
from torch import Tensor

from memunlearn.evaluation.suite import summarize, summarize_alternatives
from memunlearn.models.baking import save_baked
from memunlearn.models.loading import LoadedModel
from memunlearn.models.patches import Patch, save_patch
from memunlearn.reporting.curve import read_curve
from memunlearn.reporting.files import write_json, write_parquet
from memunlearn.reporting.page import write_report
from memunlearn.reporting.terminal import print_comparison, print_examples
from memunlearn.scoring.alternatives import Alternatives
from memunlearn.unlearning.outcome import Outcome, SetOutcome
from memunlearn.unlearning.preparation import REPORTED, Preparation

RESULT = "result.json"
PREFIX_END = 20  # tokens of the prefix that are shown


def result_of(
    config: dict[str, Any],
    environment: dict[str, Any],
    outcome: Outcome,
    preparation: Preparation,
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The content of result.json."""
    seed = config["seed"]
    before: dict[str, Any] = {name: None for name in REPORTED}
    after = dict(before)
    for name, outcomes in outcome.sets.items():
        before[name], after[name] = summarize(outcomes.before, seed), summarize(outcomes.after, seed)
    if outcome.alternatives is not None:
        alternatives = outcome.alternatives
        before["forget"] |= summarize_alternatives(alternatives.before, alternatives.clusters, seed)
        after["forget"] |= summarize_alternatives(alternatives.after, alternatives.clusters, seed)
    result = {
        "schema": 1,
        "config": config,
        "environment": environment,
        "seed": seed,
        "steps": outcome.steps,
        "kept_step": outcome.kept_step,
        "stopped_because": outcome.stopped_because,
        "kept_check": None if outcome.kept_check is None else asdict(outcome.kept_check),
        "mask": {"k": outcome.k, "eligible": outcome.eligible, "per_component": dict(outcome.per_component)},
        "before": before,
        "after": after,
        "seconds": dict(seconds),
    }
    if preparation.alternatives is not None:
        result["without_alternative"] = int((~preparation.alternatives.found).sum())
    return result


def write_run(
    directory: Path,
    result: dict[str, Any],
    outcome: Outcome,
    preparation: Preparation,
    loaded: LoadedModel,
    notes: Sequence[str],
    loggers: Sequence[Logger],
) -> None:
    """Writes every file, prints the table and where things are. The model carries the kept deltas (joint), or none."""
    rows = [
        row
        for name, outcomes in outcome.sets.items()
        for row in paragraph_rows(name, outcomes, loaded.tokenizer, preparation.alternatives)
    ]
    write_parquet(directory / "paragraphs.parquet", {key: [row[key] for row in rows] for key in rows[0]})
    _write_patches(directory, outcome.patches, result["config"])
    shutil.rmtree(directory / "model", ignore_errors=True)
    if result["config"]["save_model"]:
        save_baked(loaded.model, directory / "model", loaded.tokenizer)
    log_result(loggers, result)
    curve = next(read_curve(Path(logger.log_dir) / "metrics.csv") for logger in loggers if isinstance(logger, CSVLogger))
    write_report(directory / "report.html", result, curve, rows, notes)
    write_json(directory / RESULT, result)
    print_comparison(result["before"], result["after"])
    print_examples([row for row in rows if row["set"] == "forget"])
    for note in notes:
        print(note)
    print(f"stopped because of {result['stopped_because']} after {result['steps']} steps; kept step: {result['kept_step']}")
    print(
        f"wrote {', '.join(sorted(path.name for path in directory.iterdir() if not path.name.startswith('.')))} to {directory}"
    )


def _write_patches(directory: Path, patches: Sequence[Patch], config: dict[str, Any]) -> None:
    """One patch, or one a trial; those of an earlier run in the same folder go."""
    (directory / "patch.safetensors").unlink(missing_ok=True)
    shutil.rmtree(directory / "patches", ignore_errors=True)
    if "per_paragraph" in config["protocol"]["_target_"]:
        for trial, patch in enumerate(patches):
            save_patch(directory / "patches" / f"trial_{trial:03d}.safetensors", with_config(patch, config))
    else:
        save_patch(directory / "patch.safetensors", with_config(patches[0], config))


def with_config(patch: Patch, config: dict[str, Any]) -> Patch:
    return Patch(patch.indices, patch.deltas, patch.base_fingerprint, config)


def paragraph_rows(
    name: str, outcome: SetOutcome, tokenizer: Any | None, alternatives: Alternatives | None
) -> list[dict[str, Any]]:
    """Rows of paragraphs.parquet; texts for forget rows only, as ids where there is no tokenizer."""
    before, after = outcome.before.scores, outcome.after.scores
    rows = []
    for i in range(len(outcome.index)):
        index = int(outcome.index[i])
        rows.append(
            {
                "set": name,
                "index": index,
                "trial": None if outcome.trial is None else int(outcome.trial[i]),
                "origin": outcome.paragraphs.origin[i],
                "cluster": int(outcome.after.clusters[i]),
                "em_before": int(before.em[i]),
                "em_after": int(after.em[i]),
                "longest_run_before": int(before.longest_run[i]),
                "longest_run_after": int(after.longest_run[i]),
                "nll_before": float(before.nll[i]),
                "nll_after": float(after.nll[i]),
                "kl": None if after.kl is None else float(after.kl[i]),
                "self_em": None if outcome.after.self_em is None else int(outcome.after.self_em[i]),
                "prefix_end": None,
                "continuation": None,
                "continuation_before": None,
                "continuation_after": None,
                "alternative": None,
            }
        )
        if outcome.said_before is None or outcome.said_after is None:
            continue
        rows[-1] |= {
            "prefix_end": text_of(outcome.paragraphs.prefixes[i, -PREFIX_END:], tokenizer),
            "continuation": text_of(outcome.paragraphs.continuations[i], tokenizer),
            "continuation_before": text_of(outcome.said_before[i], tokenizer),
            "continuation_after": text_of(outcome.said_after[i], tokenizer),
        }
        if alternatives is not None and bool(alternatives.found[index]):
            rows[-1]["alternative"] = text_of(alternatives.paragraphs.continuations[index], tokenizer)
    return rows


def text_of(ids: Tensor, tokenizer: Any | None) -> str:
    """The tokens as text, or as numbers where there is no tokenizer."""
    if tokenizer is None:
        return " ".join(str(int(token)) for token in ids)
    return tokenizer.decode(ids.tolist(), clean_up_tokenization_spaces=False)


def log_result(loggers: Sequence[Logger], result: Mapping[str, Any]) -> None:
    """before/forget/em, after/retain/kl, kept_check/retain_val_kl and so on, for every logger."""
    numbers = {
        f"{when}/{name}/{key}": float(value)
        for when in ("before", "after")
        for name, stats in result[when].items()
        for key, value in (stats or {}).items()
        if isinstance(value, int | float)
    }
    numbers |= {f"kept_check/{key}": float(value) for key, value in (result["kept_check"] or {}).items() if value is not None}
    for logger in loggers:
        logger.log_metrics(numbers, result["steps"])
        logger.save()
