"""`sweep.parquet`: a row per job, with everything that its result.json counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.sweeps.runs import Run
from memunlearn.sweeps.settings import facts_of, seed_name, seeds_of, varying_keys


def job_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of sweep.parquet, all with the same columns; a number's interval under `<name>_low` and `<name>_high`."""
    facts = {run.folder: facts_of(run) for run in runs if run.config is not None}
    varying = varying_keys(list(facts.values()))
    rows = [_job_row(run, facts.get(run.folder, {}), varying) for run in runs]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{key: row.get(key) for key in columns} for row in rows]


def _job_row(run: Run, facts: Mapping[str, str | None], varying: Sequence[str]) -> dict[str, Any]:
    result = run.result
    mask = result.get("mask") or {}
    row: dict[str, Any] = {
        "folder": run.folder,
        "state": run.state,
        "error": run.error,
        "problems": "; ".join(run.problems) or None,
        "overrides": " ".join(run.overrides) or None,
        "objective": facts.get("objective"),
        "mask": facts.get("mask"),
        "mask_match": None if run.config is None else bool((run.config.get("mask") or {}).get("match")),
        "fraction": _as_number(facts.get("fraction")),
        "forget_text": facts.get("forget_text"),
        **{f"config/{key}": facts.get(key) for key in varying},
    }
    seeds = seeds_of(run) if run.config is not None else {}
    row |= {"seed" if name == "seed" else f"seeds/{name}": value for name, value in seeds.items()}
    row |= {
        "seeds": seed_name(run) if seeds else None,
        "k": mask.get("k"),
        "eligible": mask.get("eligible"),
        "steps": result.get("steps"),
        "kept_step": result.get("kept_step"),
        "stopped_because": result.get("stopped_because"),
    }
    for when in ("before", "after"):
        for name, stats in (result.get(when) or {}).items():
            for key, value in (stats or {}).items():
                row |= _cells(f"{when}/{name}/{key}", value)
    for name, worst in (result.get("attacks") or {}).items():
        row |= {f"attacks/{name}/{key}": _number((worst or {}).get(key)) for key in ("em", "memorized")}
    return row | {f"seconds/{name}": value for name, value in (result.get("seconds") or {}).items()}


def _cells(name: str, value: Any) -> dict[str, float | None]:
    if isinstance(value, list) and len(value) == 2 and name.endswith("_ci"):
        return {f"{name[:-3]}_low": _number(value[0]), f"{name[:-3]}_high": _number(value[1])}
    return {} if isinstance(value, str) else {name: _number(value)}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _as_number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
