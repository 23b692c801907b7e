"""What a certificate says in short: what was asked for, what became of it, and what became of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memunlearn.results.certificate.attempts import counting, title, told_attacks, whole, worst_of_all
from memunlearn.results.certificate.content import Content
from memunlearn.results.certificate.texts import text_sentences
from memunlearn.words import counted, fixed

SETS = {
    "bystander": "Other texts that the model knew by heart (bystanders)",
    "near": "Texts that share passages with a removed one (near)",
    "retain": "Ordinary text that it did not know by heart (retain)",
    "suspected": "Texts that it seems to know by heart, found among its own and not verified (suspected)",
}


@dataclass(frozen=True, kw_only=True)
class SetLine:
    """One set of other texts. whole_*: how many of them are recited whole; start_*: tokens right from the start, on average."""

    title: str
    n: str
    whole_before: str
    whole_now: str
    start_before: str
    start_now: str
    change: str


def summary(content: Content) -> list[str]:
    """The page's first sentences."""
    whole_texts = text_sentences(content.facts)
    return [*whole_texts, _removed(content), _still_said(content), _tried(content), *_given_away(content), *_others(content)]


def _removed(content: Content) -> str:
    rows, length = content.facts.rows, content.facts.length
    before = sum(row.em_before == length for row in rows)
    now = sum(row.em_now == length for row in rows)
    groups = len({row.cluster for row in rows})
    in_groups = f" (in {counted(groups, 'group')} of near-duplicates)" if groups < len(rows) else ""
    return (
        f"{counted(len(rows), content.facts.noun)}{in_groups} had to be removed. Given the beginning, the original "
        f"model recites {before} of {len(rows)} whole; the changed model recites {now} of {len(rows)}."
    )


def _still_said(content: Content) -> str:
    rows, length = content.facts.rows, content.facts.length
    start = [sum(values) / len(rows) for values in zip(*((row.em_before, row.em_now) for row in rows), strict=True)]
    longest = max(row.longest_common_run_now for row in rows)
    return (
        f"Of the {length} tokens of a continuation the changed model gets {fixed(start[1], 1)} right from the start on average "
        f"(the original: {fixed(start[0], 1)}). The longest piece of any of these {content.facts.noun}s that it still says is "
        f"{counted(longest, 'token')} long."
    )


def _tried(content: Content) -> str:
    numbers = [number for attack in told_attacks(content).values() if (number := len(counting(attack, "unlearned")))]
    found = worst_of_all(content)
    if found is None:
        return "Beyond asking for them, no attempt to get the texts back was made that says anything."
    name, attempt = found
    made = (
        f"{counted(sum(numbers), 'attempt')} of {counted(len(numbers), 'kind')} {'was' if sum(numbers) == 1 else 'were'} made"
    )
    back = whole(attempt)
    said = f"{back or 'none'} of {attempt.measured(content.facts.noun)} came back whole"
    start = f"{fixed(attempt.em or 0, 1)} of {content.facts.length} tokens right from the start on average"
    return f"Beyond asking for them, {made} to get the texts back. After the worst ({title(name)}) {said}, with {start}."


def _given_away(content: Content) -> list[str]:
    """By the measure that tells most of the changed model; nothing where the texts alone tell the groups apart."""
    found = content.membership or {}
    scores: Mapping[str, Any] = found.get("scores") or {}
    of_changed = {key: value for key, score in scores.items() if (value := _value_of(score, "unlearned")) is not None}
    if not of_changed or found.get("figure") != "membership":
        return []
    key = max(of_changed, key=lambda one: abs(of_changed[one] - 0.5))
    base, oracle = (_auroc(scores[key].get(name)) for name in ("base", "oracle"))
    return [
        f"Given a removed text and one that it never saw, the changed model gives away which is which in a share of "
        f"{fixed(of_changed[key], 2)} of all such pairs, where one half is guessing (the original model: {base}; a model that "
        f"never saw the texts: {oracle})."
    ]


def _others(content: Content) -> list[str]:
    lines = {line.title: line for line in set_lines(content)}
    known = {"bystander": "knew by heart and nobody asked to remove", "suspected": "seemed to know by heart"}
    return [
        f"Of {line.n} other texts that the model {what}, it recited {line.whole_before} whole before and recites "
        f"{line.whole_now} now."
        for name, what in known.items()
        if (line := lines.get(SETS[name])) is not None
    ]


def set_lines(content: Content) -> list[SetLine]:
    """A line for each set of SETS that was measured."""
    lines = []
    for name, words in SETS.items():
        before, now = content.facts.before.get(name), content.now.get(name)
        if before and now:
            lines.append(
                SetLine(
                    title=words,
                    n=str(now["n"]),
                    whole_before=_whole(before),
                    whole_now=_whole(now),
                    start_before=_number(before, "em", 1),
                    start_now=_number(now, "em", 1),
                    change=_number(now, "kl", 3),
                )
            )
    return lines


def oracle_lines(content: Content) -> list[tuple[str, str, str]]:
    """(model, texts recited whole, tokens right from the start) beside a model that never saw the texts; none without one."""
    names = {"base": "original model", "unlearned": "changed model", "oracle": "model that never saw the texts"}
    models = (content.oracle or {}).get("models") or {}
    forget = {words: (models.get(name) or {}).get("forget") for name, words in names.items()}
    return [(words, f"{_whole(one)} of {one['n']}", _number(one, "em", 1)) for words, one in forget.items() if one]


def membership_lines(content: Content) -> list[tuple[str, list[str]]]:
    """(measure, its value for the original model, the changed one and one that never saw the texts); none without them."""
    scores: Mapping[str, Any] = (content.membership or {}).get("scores") or {}
    return [(key, [_auroc(score.get(name)) for name in ("base", "unlearned", "oracle")]) for key, score in scores.items()]


def task_lines(content: Content) -> list[tuple[str, str, str, str]]:
    """(task and measure, documents, original model, changed model) of lm-evaluation-harness."""
    return [
        (f"{row['task']}, {row['metric']}", str(row["n"]), _value(row["base"]), _value(row["unlearned"]))
        for row in (content.lm_eval or {}).get("tasks", [])
    ]


def _whole(entry: Mapping[str, Any]) -> str:
    share = entry.get("memorized")
    return "unknown" if share is None else str(round(share * entry["n"]))


def _number(entry: Mapping[str, Any], key: str, digits: int) -> str:
    value = entry.get(key)
    return "unknown" if value is None else fixed(value, digits)


def _value_of(score: Mapping[str, Any], subject: str) -> float | None:
    return (score.get(subject) or {}).get("auroc")


def _auroc(score: Mapping[str, Any] | None) -> str:
    return "unknown" if not score or score.get("auroc") is None else fixed(score["auroc"], 2)


def _value(score: Mapping[str, Any] | None) -> str:
    return "unknown" if not score else fixed(score["value"], 3)
