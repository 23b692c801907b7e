"""What a run leaves in its folder (DESIGN section 4); result.json comes last."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger

from memunlearn.commands.paragraph_table import paragraph_rows
from memunlearn.commands.sweep_folder import RESULT
from memunlearn.commands.trajectory import write_trajectory
from memunlearn.evaluation.suite import summarize, summarize_alternatives, with_alternatives
from memunlearn.models.baking import save_baked
from memunlearn.models.components import WeightTensor, count_per_component
from memunlearn.models.loading import LoadedModel
from memunlearn.models.patches import Patch, save_patch
from memunlearn.reporting.curve import read_curve
from memunlearn.reporting.figures import draw, write_pictures
from memunlearn.reporting.files import write_json, write_parquet
from memunlearn.reporting.page import write_report
from memunlearn.reporting.terminal import print_comparison, print_examples
from memunlearn.unlearning.outcome import Outcome
from memunlearn.unlearning.preparation import REPORTED, Preparation


def result_of(
    config: dict[str, Any],
    environment: dict[str, Any],
    outcome: Outcome,
    preparation: Preparation,
    weights: Sequence[WeightTensor],
    seconds: Mapping[str, float],
    notes: Sequence[str],
) -> dict[str, Any]:
    """The content of result.json. notes: what a reader must know of what the run is evidence for."""
    seed = config["seed"]
    before: dict[str, Any] = {name: None for name in REPORTED}
    after = dict(before)
    for name, outcomes in outcome.sets.items():
        before[name], after[name] = summarize(outcomes.before, seed), summarize(outcomes.after, seed)
    if outcome.alternatives is not None:
        alternatives = outcome.alternatives
        clusters = outcome.sets["forget"].after.clusters[alternatives.rows]
        for sets, scores in ((before, alternatives.before), (after, alternatives.after)):
            sets["forget"] = with_alternatives(sets["forget"], summarize_alternatives(scores, clusters, seed))
    result = {
        "schema": 1,
        "config": config,
        "environment": environment,
        "seed": seed,
        "steps": outcome.steps,
        "kept_step": outcome.kept_step,
        "stopped_because": outcome.stopped_because,
        "mask": {
            "k": outcome.k,
            "eligible": outcome.eligible,
            "per_component": dict(outcome.per_component),
            # Of what the counts above are a part: they are summed over trials, one patch each.
            "size_per_component": {
                name: size * len(outcome.patches)
                for name, size in count_per_component({weight.name: None for weight in weights}, weights).items()
            },
        },
        "kept_check": None if outcome.kept_check is None else asdict(outcome.kept_check),
        "before": before,
        "after": after,
        "seconds": dict(seconds),
        "notes": list(notes),
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
        for row in paragraph_rows(name, outcomes, loaded.tokenizer, preparation.alternatives, outcome.alternatives)
    ]
    write_parquet(directory / "paragraphs.parquet", {key: [row[key] for row in rows] for key in rows[0]})
    write_trajectory(directory, outcome, preparation)
    _write_patches(directory, outcome.patches, result["config"])
    shutil.rmtree(directory / "model", ignore_errors=True)
    if result["config"]["save_model"]:
        save_baked(loaded.model, directory / "model", loaded.tokenizer)
    log_result(loggers, result)
    curve = next(read_curve(Path(logger.log_dir) / "metrics.csv") for logger in loggers if isinstance(logger, CSVLogger))
    pictures = draw(result, curve, rows)
    write_pictures(directory / "figures", pictures)
    write_report(directory / "report.html", result, curve, rows, notes, pictures)
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
