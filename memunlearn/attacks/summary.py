"""What attacks brought, as numbers for a file: every attempt with intervals, and the worst of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from memunlearn.attacks.attempt import Attempt
from memunlearn.attacks.material import SubjectName
from memunlearn.attacks.run import Attacked
from memunlearn.attacks.sentence import sentence
from memunlearn.evaluation.summary import Summary, Units, entry_of
from memunlearn.paragraphs.bins import is_memorized
from memunlearn.scoring.metrics import EM, LONGEST_RUN, MEMORIZED, NLL


def attack_entry(done: Sequence[Attacked], *, protocol: str, clusters: Tensor, length: int, seed: int) -> dict[str, Any]:
    """One attack's entry in attacks.json. done: of this attack, one a model. clusters: [N] of the forget rows; length: C.

    worst: by model the place in `attempts` of the one that counts with the highest mean EM, the first of equal ones; null where
    none counts.
    """
    attempts: list[dict[str, Any]] = []
    worst: dict[str, int | None] = {}
    for attacked in done:
        place = place_of_worst(attacked.attempts)
        worst[attacked.subject] = None if place is None else len(attempts) + place
        attempts += [{"subject": attacked.subject, **attempt_entry(one, clusters, length, seed)} for one in attacked.attempts]
    return {
        "protocol": protocol,
        "sentence": sentence(attempts, worst, length),
        "worst": worst,
        "seconds": sum(attacked.seconds for attacked in done),
        "attempts": attempts,
    }


def attempt_entry(attempt: Attempt, clusters: Tensor, length: int, seed: int) -> dict[str, Any]:
    """Means over rows with 95 % intervals over clusters, as those of a set in result.json; null where no row was measured."""
    of_rows = clusters[attempt.rows]
    units = Units(of_rows.numpy(), None, seed)
    counts = Summary({"n": len(attempt.rows), "rows": len(attempt.rows.unique()), "clusters": len(of_rows.unique())})
    means = [Summary(dict.fromkeys((EM.key, LONGEST_RUN.key, MEMORIZED.key, NLL.key)))]
    if len(attempt.rows):
        means = [
            units.mean(EM, attempt.em, length),
            units.mean(LONGEST_RUN, attempt.longest_run, length),
            units.share(MEMORIZED, is_memorized(attempt.em, length) if attempt.whole is None else attempt.whole),
            units.mean(NLL, attempt.nll, length),
        ]
    numbers = entry_of([counts, *means])
    return {
        "settings": dict(attempt.settings),
        **(numbers or {}),
        "counts": attempt.counts,
        "note": attempt.note,
        "extra": dict(attempt.extra),
    }


def place_of_worst(attempts: Sequence[Attempt]) -> int | None:
    """Of the attempt that counts with the highest mean EM, the first of equal ones; None where none counts."""
    counting = [place for place, attempt in enumerate(attempts) if attempt.counts]
    return max(counting, key=lambda place: attempts[place].mean_em, default=None)


def worst_numbers(entries: Mapping[str, Mapping[str, Any]], subject: SubjectName) -> dict[str, dict[str, float] | None]:
    """EM and share of memorized rows of the worst attempts that count on one model. entries: by attack, as in attacks.json.

    Under `<attack>` of all its attempts; where a setting is text also under `<attack>/<text>`, such as `relearning/half` or
    `quantization/int4`, of those with this text. None where none counts; attacks that did not try this model are left out.
    """
    numbers: dict[str, dict[str, float] | None] = {}
    for name, entry in entries.items():
        for attempt in entry["attempts"]:
            if attempt["subject"] != subject:
                continue
            texts = [f"{name}/{value}" for value in attempt["settings"].values() if isinstance(value, str)]
            for key in (name, *texts):
                worst = numbers.setdefault(key, None)
                if attempt["counts"] and (worst is None or attempt["em"] > worst["em"]):
                    numbers[key] = {"em": attempt["em"], "memorized": attempt["memorized"]}
    return numbers


def row_columns(done: Sequence[Attacked], clusters: Tensor) -> dict[str, list[Any]]:
    """Of attacks.parquet: one entry a forget row and attempt; `attempt` is the place in attacks.json's `attempts`."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("attack", "attempt", "subject", "row", "cluster", "em", "longest_run", "nll")
    }
    places: dict[str, int] = {}
    for attacked in done:
        for attempt in attacked.attempts:
            place = places.get(attacked.attack, 0)
            places[attacked.attack] = place + 1
            rows: Mapping[str, list[Any]] = {
                "attack": [attacked.attack] * len(attempt.rows),
                "attempt": [place] * len(attempt.rows),
                "subject": [attacked.subject] * len(attempt.rows),
                "row": attempt.rows.tolist(),
                "cluster": clusters[attempt.rows].tolist(),
                "em": attempt.em.tolist(),
                "longest_run": attempt.longest_run.tolist(),
                "nll": attempt.nll.tolist(),
            }
            for name, values in rows.items():
                columns[name] += values
    return columns
