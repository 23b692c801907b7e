"""The result of a run in one sentence, computed from its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from memunlearn.results.tables import (
    ALTERNATIVE_EM,
    EM,
    KL,
    LONGEST_COMMON_RUN,
    LONGEST_RUN,
    Metric,
    SetStats,
    rows_and_clusters,
)

STOPPED_BECAUSE = {
    "forget_em": "the forget set had reached its target",
    "max_kl": "the KL limit was reached",
    "bystander_em": "bystander EM had fallen below its limit",
    "max_steps": "the limit on steps was reached",
    "nan": "the loss was no longer a number",
}


def one_paragraph_at_a_time(result: Mapping[str, Any]) -> bool:
    """Whether the run's protocol was `per_paragraph`: the model restored between trials, the trials pooled."""
    return "per_paragraph" in json.dumps(result.get("config", {}).get("protocol"), default=str)


def result_sentence(result: Mapping[str, Any]) -> str:
    """What happened to the forget set, and to the sets that should have stayed as they were. `result`: as in `result.json`."""
    before, after = result["before"], result["after"]
    forget, forget_after = before.get("forget"), after.get("forget")
    if not forget or not forget_after:
        return f"{_how(result)}, but the forget set was empty: there was nothing to unlearn."

    interval = EM.interval(forget_after)
    said = [
        f"forget EM {_went(EM, forget, forget_after)} tokens" + (f" (95 % interval {interval})" if interval else ""),
        f"its longest run {_went(LONGEST_RUN, forget, forget_after)} tokens",
    ]
    if LONGEST_COMMON_RUN.known(forget) and LONGEST_COMMON_RUN.known(forget_after):
        went = _went(LONGEST_COMMON_RUN, forget, forget_after)
        said.append(f"its longest common run with what the model says {went} tokens")
    if ALTERNATIVE_EM.known(forget_after):
        was = f" (before: {ALTERNATIVE_EM.value(forget)})" if ALTERNATIVE_EM.known(forget) else ""
        said.append(f"the alternative is recited for {ALTERNATIVE_EM.value(forget_after)} tokens{was}")
    if KL.known(after.get("retain")):
        said.append(f"retain KL is {KL.value(after['retain'])} nats per token")
    rows, clusters = rows_and_clusters(forget_after, forget)
    return (
        f"{_how(result)}. Other memorized text: {side_effect(result)}. Over {rows} in {clusters}, {', '.join(said[:-1])}, and "
        f"{said[-1]}."
    )


def side_effect(result: Mapping[str, Any]) -> str:
    """`bystander EM 50.0 -> 12.8 tokens`: what memorized text that nobody asked to remove has lost."""
    before, after = result["before"], result["after"]
    known = [name for name in ("bystander", "near") if EM.known(before.get(name)) and EM.known(after.get(name))]
    if not known:
        return "not measured, there are no bystanders"
    return ", ".join(f"{name} EM {EM.value(before[name])} -> {EM.value(after[name])} tokens" for name in known)


def _how(result: Mapping[str, Any]) -> str:
    if one_paragraph_at_a_time(result):
        return "One paragraph at a time, with the model restored between trials"
    reason = STOPPED_BECAUSE.get(result.get("stopped_because", ""), "for a reason that was not recorded")
    steps = result.get("steps", "unknown")
    said = f"Training stopped after {steps} step{'' if steps == 1 else 's'} because {reason}"
    kept = result.get("kept_step")
    if kept == 0:
        return f"{said}, and no check was better than the base model, which was kept"
    return said if kept in (None, steps) else f"{said}; the best check, after step {kept}, was kept"


def _went(metric: Metric, before: SetStats, after: SetStats) -> str:
    old, new = metric.value(before), metric.value(after)
    if old == new:
        return f"stayed at {new}"
    return f"{'fell' if metric.change(before, after).startswith('-') else 'rose'} from {old} to {new}"
