"""What the runs of a sweep differ in: settings (everything but the seeds), their short names, and who may be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memunlearn.sweeps.runs import Run

# Change no number of a run.
WITHOUT_EFFECT = ("resume", "allow", "save_model", "dtype", "callbacks", "logger", "cache")
SEEDS = ("seed", "seeds")
# Said by the leading keys below.
SAID_ALREADY = (
    *(f"{group}._target_" for group in ("objective", "mask", "attribution", "protocol")),
    *("mask.match", "mask.fraction", "paragraphs.forget_text"),
)
OBJECTIVES = {"Unlearn": "unlearn", "Edit": "edit"}
MASKS = {"AllWeights": "all", "TopAttribution": "gradient", "RandomWeights": "random"}
MATCHED = "random (matched)"
# The keys that a reader thinks in, in this order; `facts` derives them from the config.
LEADING = ("objective", "mask", "forget_text", "protocol", "attribution", "fraction")


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seeds only.

    facts: every key that varies in the sweep with this setting's value; None where the key has no effect on it (the fraction
    of mask=all), or is not there. names: the few of them that tell the settings apart. runs: one per seed, by seed.
    """

    facts: Mapping[str, str | None]
    names: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def label(self) -> str:
        """`unlearn, gradient, fraction=0.01`."""
        return self.label_without(None) or "all runs"

    def label_without(self, left_out: str | None) -> str:
        """The label without one of its keys; may be empty."""
        said = [said_of(key, self.facts[key]) for key in self.names if key != left_out]
        return ", ".join(filter(None, said))


def settings_of(runs: Sequence[Run]) -> list[Setting]:
    """The settings of the finished runs, in the order of their first run. The first run of a seed counts."""
    finished = [run for run in runs if run.state == "finished"]
    facts = [facts_of(run) for run in finished]
    varying = varying_keys(facts)
    groups: dict[tuple[str | None, ...], dict[str, Run]] = {}
    for run, held in zip(finished, facts, strict=True):
        groups.setdefault(tuple(held.get(key) for key in varying), {}).setdefault(seed_name(run), run)
    names = tuple(_telling(varying, list(groups)))
    return [
        Setting(dict(zip(varying, values, strict=True)), names, tuple(by_seed[seed] for seed in sorted(by_seed, key=_order)))
        for values, by_seed in groups.items()
    ]


def repeated(runs: Sequence[Run], settings: Sequence[Setting]) -> list[Run]:
    """Finished runs that repeat the setting and the seeds of an earlier one."""
    counted = {run.folder for setting in settings for run in setting.runs}
    return [run for run in runs if run.state == "finished" and run.folder not in counted]


def facts_of(run: Run) -> dict[str, str | None]:
    """Everything in the run's config that can move its numbers, but the seeds: the leading keys, then `group.key` as text."""
    config = run.config or {}
    mask = config.get("mask") or {}
    kind = MASKS.get(_class(mask), _class(mask))
    if kind == "random" and mask.get("match"):
        kind = MATCHED
    drawn = kind in ("random", "all")
    facts: dict[str, str | None] = {
        "objective": OBJECTIVES.get(_class(config.get("objective")), _class(config.get("objective"))),
        "mask": kind,
        "forget_text": _text((config.get("paragraphs") or {}).get("forget_text", "memorized")),
        "protocol": _class(config.get("protocol")),
        "attribution": None if drawn else _class(config.get("attribution")),
        "fraction": None if kind == "all" else _text(mask.get("fraction")),
    }
    for key, value in _flat(config):
        group = key.partition(".")[0]
        unused = (kind == "all" and key == "mask.selection") or (drawn and group == "attribution")
        if group not in (*WITHOUT_EFFECT, *SEEDS) and key not in SAID_ALREADY and not unused:
            facts[key] = _text(value)
    return facts


def varying_keys(facts: Sequence[Mapping[str, str | None]]) -> list[str]:
    """Keys that do not have the same value everywhere; the leading ones first."""
    keys = [*LEADING, *sorted({key for held in facts for key in held} - set(LEADING))]
    return [key for key in keys if len({held.get(key) for held in facts}) > 1]


def seeds_of(run: Run) -> dict[str, int | None]:
    """seed, and of split, mask and training those that are set apart (all of them, where the config names them)."""
    config = run.config or {}
    apart = config.get("seeds")
    return {"seed": config.get("seed"), **(apart if isinstance(apart, dict) else {})}


def seed_name(run: Run) -> str:
    """`3`, or `3, split 0` where a seed was set alone: equal names mean equal seeds."""
    seeds = seeds_of(run)
    seed = seeds.pop("seed")
    return ", ".join([str(seed), *(f"{name} {value}" for name, value in seeds.items() if value != seed)])


def also_different(a: Setting, b: Setting, factor: str) -> list[str]:
    """What else the configs of two settings say differently: `optimizer.lr 0.002 and 0.0004`."""
    return [
        f"{key} {a.facts[key]} and {b.facts[key]}"
        for key in a.facts
        if key != factor and a.facts[key] != b.facts[key] and None not in (a.facts[key], b.facts[key])
    ]


def comparable(a: Setting, b: Setting, factor: str) -> bool:
    """Whether nothing that tells settings apart differs, but the factor. A key without effect on one of them agrees."""

    def agree(key: str) -> bool:
        values = (a.facts[key], b.facts[key])
        own = key in ("attribution", "fraction") or key.startswith((f"{factor}.", "attribution."))
        return values[0] == values[1] or (own and None in values)

    return all(agree(key) for key in a.names if key != factor)


def continuation_length(run: Run) -> int | None:
    """C, from the config."""
    length = ((run.config or {}).get("paragraphs") or {}).get("continuation_length")
    return length if isinstance(length, int) else None


def _telling(keys: Sequence[str], groups: Sequence[tuple[str | None, ...]]) -> list[str]:
    """Keys in order, those left out that say nothing new about which group it is (the learning rate that comes with a mask)."""
    chosen: list[int] = []
    for place in range(len(keys)):
        if len({tuple(group[p] for p in (*chosen, place)) for group in groups}) > len(
            {tuple(group[p] for p in chosen) for group in groups}
        ):
            chosen.append(place)
    return [keys[place] for place in chosen]


def said_of(key: str, value: str | None) -> str:
    """`gradient`, `own text`, `optimizer.lr=0.002`; nothing without a value, and for memorized text, which is the rule."""
    if value is None:
        return ""
    if key == "forget_text":
        return "" if value == "memorized" else f"{value} text"
    return value if key in ("objective", "mask") else f"{key}={value}"


def _class(group: Any) -> str:
    """The class that a config group makes, without its package."""
    target = group.get("_target_") if isinstance(group, Mapping) else None
    return str(target).rpartition(".")[2] if target else "unknown"


def _flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat += _flat(value, f"{prefix}{key}.")
        else:
            flat.append((f"{prefix}{key}", value))
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _order(seed: str) -> tuple[int, str]:
    number = seed.partition(",")[0]
    return (int(number) if number.isdigit() else -1, seed)
