"""The result of a run in one sentence, computed from its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from memunlearn.paragraphs.near_parts import NEAR_FORGOTTEN, NEAR_OTHER
from memunlearn.paragraphs.retain_text import SUSPECTED
from memunlearn.results.tables import Sets, SetStats, change_text, interval_text, is_known, rows_and_clusters, value_text
from memunlearn.scoring.metric import Metric
from memunlearn.scoring.metrics import ALTERNATIVE_EM, EM, KL, LONGEST_COMMON_RUN, LONGEST_RUN
from memunlearn.words import plural

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

    within = interval_text(EM, forget_after)
    said = [
        f"forget EM {_went(EM, forget, forget_after)} tokens" + (f" (95 % interval {within})" if within else ""),
        f"its longest run {_went(LONGEST_RUN, forget, forget_after)} tokens",
    ]
    if is_known(LONGEST_COMMON_RUN, forget) and is_known(LONGEST_COMMON_RUN, forget_after):
        went = _went(LONGEST_COMMON_RUN, forget, forget_after)
        said.append(f"its longest common run with what the model says {went} tokens")
    if is_known(ALTERNATIVE_EM, forget_after):
        was = f" (before: {value_text(ALTERNATIVE_EM, forget)})" if is_known(ALTERNATIVE_EM, forget) else ""
        said.append(f"the alternative is recited for {value_text(ALTERNATIVE_EM, forget_after)} tokens{was}")
    if is_known(KL, after.get("retain")):
        said.append(f"retain KL is {value_text(KL, after['retain'])} nats per token")
    rows, clusters = rows_and_clusters(forget_after, forget)
    return (
        f"{_how(result)}. Other memorized text: {side_effect(result)}. Over {rows} in {clusters}, {', '.join(said[:-1])}, and "
        f"{said[-1]}."
    )


def side_effect(result: Mapping[str, Any]) -> str:
    """`bystander EM 50.0 -> 12.8 tokens`: what memorized text that nobody asked to remove has lost."""
    before, after = result["before"], result["after"]
    measured = [
        name for name in ("bystander", "near", SUSPECTED) if is_known(EM, before.get(name)) and is_known(EM, after.get(name))
    ]
    if not measured:
        return "not measured, there are no bystanders"
    said = {name: f"{name} EM {value_text(EM, before[name])} -> {value_text(EM, after[name])} tokens" for name in measured}
    if "near" in said:
        said["near"] += _near_parts(before, after)
    if SUSPECTED in said:
        said[SUSPECTED] += " (memorized by all appearance, not verified)"
    return ", ".join(said.values())


def _near_parts(before: Sets, after: Sets) -> str:
    """What near rows that hold forgotten text have lost, rightly, and what the others have; "" where a run does not say."""
    parts = []
    for name, what in ((NEAR_FORGOTTEN, "holding forgotten text"), (NEAR_OTHER, "not holding it")):
        was, now = before.get(name), after.get(name)
        if is_known(EM, was) and is_known(EM, now):
            parts.append(f"{rows_and_clusters(now, was)[0]} {what}: {value_text(EM, was)} -> {value_text(EM, now)}")
    return f" ({'; '.join(parts)})" if parts else ""


def _how(result: Mapping[str, Any]) -> str:
    if one_paragraph_at_a_time(result):
        return "One paragraph at a time, with the model restored between trials"
    reason = STOPPED_BECAUSE.get(result.get("stopped_because", ""), "for a reason that was not recorded")
    steps = result.get("steps", "unknown")
    said = f"Training stopped after {steps} {plural('step', steps)} because {reason}"
    kept = result.get("kept_step")
    if done := result.get("done"):  # what is not training chosen weights
        if kept is None:
            return str(done)
        said = f"{done}. {said}"
    if kept == 0:
        return f"{said}, and no check was better than the base model, which was kept"
    return said if kept in (None, steps) else f"{said}; the best check, after step {kept}, was kept"


def _went(metric: Metric, before: SetStats, after: SetStats) -> str:
    old, new = value_text(metric, before), value_text(metric, after)
    if old == new:
        return f"stayed at {new}"
    return f"{'fell' if change_text(metric, before, after).startswith('-') else 'rose'} from {old} to {new}"
