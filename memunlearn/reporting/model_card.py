"""The model card of a patch or a checkpoint that is shared: what was measured, what was not, and how to use and repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from memunlearn.reporting.page import fact_text
from memunlearn.results.certificate.untested import ALWAYS
from memunlearn.results.sentence import result_sentence
from memunlearn.results.tables import SET_ORDER, interval_text, is_known, rows_and_clusters, value_text
from memunlearn.scoring.metric import Metric
from memunlearn.scoring.metrics import EM, MEMORIZED, METRICS

TEMPLATE = "model_card.md.jinja"
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What is shared. name: OWNER/NAME. license: of the card. is_patch: else a whole checkpoint.

    base: the base model's name on the Hub, None where it is not known. base_fingerprint: of its weights. k: changed weights.
    dtype: of a checkpoint's weights, None where its config does not say.
    """

    name: str
    license: str
    is_patch: bool
    base: str | None
    base_fingerprint: str
    k: int
    dtype: str | None = None


def base_on_the_hub(result: Mapping[str, Any]) -> str | None:
    """The run's base model where the config gives a name that the Hub could have; None for a folder, or the demo."""
    name = ((result.get("config") or {}).get("model") or {}).get("name_or_path")
    return name if isinstance(name, str) and _HUB_NAME.fullmatch(name) else None


def model_card(result: Mapping[str, Any], shared: Shared) -> str:
    """README.md, Markdown with a head in YAML. result: as in `result.json`."""
    import jinja2
    import yaml

    environment = dict(result.get("environment") or {})
    libraries = environment.get("libraries") or {}
    command = environment.pop("command", None)
    head = {
        **({"base_model": shared.base} if shared.base else {}),
        "library_name": "memunlearn" if shared.is_patch else "transformers",
        "license": shared.license,
        "tags": ["memunlearn", "unlearning", "memorization", *([] if shared.is_patch else ["text-generation"])],
    }
    template = resources.files(__package__).joinpath(TEMPLATE).read_text("utf-8")
    made = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    text = made.from_string(template).render(
        front_matter=yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
        name=shared.name,
        sentence=result_sentence(result),
        diverged=result.get("stopped_because") == "nan",
        notes=[_in_a_line(note) for note in result.get("notes") or ()],
        is_patch=shared.is_patch,
        base=f"[{shared.base}](https://huggingface.co/{shared.base})" if shared.base else "a model that has no name here",
        base_argument=shared.base or "BASE",
        base_fingerprint=shared.base_fingerprint,
        k=f"{shared.k:,}",
        dtype=shared.dtype or "an unknown type",
        version=libraries.get("memunlearn", "of an unknown version"),
        seed=result.get("seed"),
        lines=[line for name in SET_ORDER for line in _set_lines(name, result)],
        definitions=[(metric.label, metric.definition) for metric in _shown(result)],
        attacks=[_attack_line(name, worst) for name, worst in (result.get("attacks") or {}).items()],
        untested=[*_not_tested(result), *ALWAYS],
        command=command or "not known",
        environment=[(key, _in_a_line(fact_text(value))) for key, value in environment.items()],
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def _shown(result: Mapping[str, Any]) -> list[Metric]:
    """Metrics of the card's table, in the list's order: all but details."""
    stats = [sets[name] for sets in (result["before"], result["after"]) for name in SET_ORDER if sets.get(name)]
    return [metric for metric in METRICS if not metric.detail and is_known(metric, *stats)]


def _set_lines(name: str, result: Mapping[str, Any]) -> Iterator[list[str]]:
    before, after = result["before"].get(name), result["after"].get(name)
    of = ", ".join(rows_and_clusters(after, before))
    for metric in _shown(result) if before or after else ():
        if is_known(metric, before, after):
            values = [_with_interval(metric, stats) for stats in (before, after)]
            yield [name, of, f"{metric.label}, {metric.unit.name}", *values]


def _with_interval(metric: Metric, stats: Mapping[str, Any] | None) -> str:
    within = interval_text(metric, stats)
    return value_text(metric, stats) + (f" ({within})" if within else "")


def _attack_line(name: str, worst: Mapping[str, Any] | None) -> list[str]:
    return [name, *(value_text(metric, worst) for metric in (EM, MEMORIZED))]


def _not_tested(result: Mapping[str, Any]) -> Iterator[str]:
    after = result["after"]
    if not result.get("attacks"):
        yield "Attempts to get the text back: none was made."
    if not after.get("bystander"):
        yield "What happened to other text that the model recites (bystanders): not measured."
    if not after.get("retain"):
        yield "What happened to text that the model does not recite: not measured."
    yield "A comparison with a model that was never shown the text (oracle), membership and benchmarks: no part of this run."


def _in_a_line(text: Any) -> str:
    return " ".join(str(text).split())
