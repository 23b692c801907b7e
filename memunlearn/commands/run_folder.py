"""What a run leaves in its folder; result.json comes last."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger

from memunlearn.commands.afterwards import Afterwards
from memunlearn.commands.paragraph_table import paragraph_rows
from memunlearn.commands.rounded import CHECKED, scored_again
from memunlearn.commands.sweep_folder import RESULT
from memunlearn.commands.trajectory import write_trajectory
from memunlearn.evaluation.summary import entry_of, summarize, summarize_alternatives, summarize_texts
from memunlearn.files.writing import remove_folder, write_json, write_parquet
from memunlearn.models.baking import save_baked
from memunlearn.models.checkpoint_dtype import DTYPES
from memunlearn.models.components import WeightTensor, count_per_component
from memunlearn.models.loading import LoadedModel
from memunlearn.reporting.run_page import REPORT, write_run_page
from memunlearn.reporting.terminal import print_comparison, print_examples
from memunlearn.results.curve import METRICS, read_curve
from memunlearn.results.sentence import side_effect
from memunlearn.results.tables import SET_ORDER
from memunlearn.unlearning.near_rows import holds_forgotten, near_parts
from memunlearn.unlearning.outcome import AlternativeOutcome, Outcome, SetOutcome
from memunlearn.unlearning.preparation import Preparation


def result_of(
    config: dict[str, Any],
    environment: dict[str, Any],
    outcome: Outcome,
    *,
    preparation: Preparation,
    weights: Sequence[WeightTensor],
    seconds: Mapping[str, float],
    notes: Sequence[str],
) -> dict[str, Any]:
    """The content of result.json. notes: what a reader must know of what the run is evidence for."""
    seed = config["seed"]
    before: dict[str, Any] = {name: None for name in SET_ORDER}
    after = dict(before)
    for name, outcomes in {**outcome.sets, **near_parts(outcome.sets)}.items():
        alternatives = outcome.alternatives if name == "forget" else None
        before[name], after[name] = entries_of(outcomes, alternatives, seed)
    result = {
        "schema": 1,
        "config": config,
        "environment": environment,
        "seed": seed,
        "steps": outcome.steps,
        **({} if outcome.done is None else {"done": outcome.done}),
        "kept_step": outcome.kept_step,
        "stopped_because": outcome.stopped_because,
        "mask": {
            "k": outcome.k,
            "eligible": outcome.eligible,
            **({} if outcome.trained is None else {"trained": outcome.trained}),
            "per_component": dict(outcome.per_component),
            # Of what the counts above are a part: they are summed over trials, one patch each.
            "size_per_component": {
                name: size * len(outcome.patches)
                for name, size in count_per_component({weight.name: None for weight in weights}, weights).items()
            },
        },
        "kept_check": None if outcome.kept_check is None else outcome.kept_check.numbers(),
        "before": before,
        "after": after,
        "seconds": dict(seconds),
        "notes": list(notes),
    }
    if preparation.alternatives is not None:
        without = (~preparation.alternatives.found).nonzero().flatten().tolist()
        result |= {"without_alternative": len(without), "rows_without_alternative": without}
    return result


def entries_of(
    outcome: SetOutcome, alternatives: AlternativeOutcome | None, seed: int
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """A set's entries before and after."""
    length, clusters, trials = outcome.paragraphs.continuation_length, outcome.after.clusters, outcome.after.trials
    before = [summarize(outcome.before, seed), summarize_texts(None, clusters, length)]
    after = [summarize(outcome.after, seed), summarize_texts(None, clusters, length)]
    if (said := outcome.said) is not None:
        of_trials = None if trials is None else trials[said.rows]
        for parts, values in ((before, said.values_before), (after, said.values_after)):
            parts.append(summarize_texts(values, clusters[said.rows], length, of_trials, seed))
    if alternatives is not None:
        for parts, scores in ((before, alternatives.before), (after, alternatives.after)):
            parts.append(summarize_alternatives(scores, clusters[alternatives.rows], seed))
    return entry_of(before), entry_of(after)


def write_run(
    directory: Path,
    result: dict[str, Any],
    outcome: Outcome,
    *,
    preparation: Preparation,
    loaded: LoadedModel,
    notes: Sequence[str],
    loggers: Sequence[Logger],
    afterwards: Afterwards,
) -> None:
    """Writes every file but the patches, which are there already; prints the table and where things are.

    The model carries the kept deltas (joint), or none. The numbers do not wait for what is made of them: a page or a
    checkpoint that cannot be written is left to `afterwards`.
    """
    holds = holds_forgotten(outcome.sets)
    rows = [
        row
        for name, outcomes in outcome.sets.items()
        for row in paragraph_rows(
            name,
            outcomes,
            loaded.tokenizer,
            alternatives=preparation.alternatives,
            edited=outcome.alternatives,
            holds_forgotten=holds if name == "near" else None,
        )
    ]
    write_parquet(directory / "paragraphs.parquet", {key: [row[key] for row in rows] for key in rows[0]})
    write_trajectory(directory, outcome, preparation)
    remove_folder(directory / "model")
    notes = list(notes)
    if result["config"]["save_model"]:
        notes += _write_model(directory / "model", outcome, loaded, result["config"]["dtype"], afterwards)
    result["notes"] = notes
    with afterwards.attempt("the loggers did not get its numbers"):
        log_result(loggers, result)
    with afterwards.attempt(
        f"its page was not written: write it with `{shlex.join(['python', '-m', 'memunlearn.reporting', str(directory)])}`"
    ):
        for stale in (directory / REPORT, *(directory / "figures").glob("*.p[nd][gf]")):
            stale.unlink(missing_ok=True)  # of an earlier run here: it must not pass for this one's
        write_run_page(directory, result, read_curve(directory / METRICS), rows, notes)
    write_json(directory / RESULT, result)
    print_comparison(result["before"], result["after"])
    print_examples([row for row in rows if row["set"] == "forget"])
    for note in notes:
        print(note)
    if "done" in result:
        print(result["done"])
    print(f"stopped because of {result['stopped_because']} after {result['steps']} steps; kept step: {result['kept_step']}")
    print(f"other memorized text: {side_effect(result)}")
    print(
        f"wrote {', '.join(sorted(path.name for path in directory.iterdir() if not path.name.startswith('.')))} to {directory}"
    )


def _write_model(folder: Path, outcome: Outcome, loaded: LoadedModel, dtype: str | None, afterwards: Afterwards) -> list[str]:
    """Writes the plain checkpoint of the model that was trained, in this type (None: its base's); says what rounding did."""
    kind = loaded.dtype if dtype is None else DTYPES[dtype]
    with afterwards.attempt("model/ was not written: bake it with `python -m memunlearn.models apply`"):
        save_baked(loaded.model, folder, loaded.tokenizer, kind)
    if kind is torch.float32 or not folder.is_dir():
        return []
    of_sets = {name: outcome.sets[name] for name in CHECKED if name in outcome.sets and len(outcome.sets[name].paragraphs)}
    rows = {name: of_set.paragraphs for name, of_set in of_sets.items()}
    em = {name: float(of_set.after.scores.em.double().mean()) for name, of_set in of_sets.items()}
    said = []
    with afterwards.attempt("model/ was not scored again: evaluate.py model=local model.name_or_path=... does it"):
        said.append(scored_again(folder, rows, em, kind, loaded.model.device).said("dtype=float32"))
    return said


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
