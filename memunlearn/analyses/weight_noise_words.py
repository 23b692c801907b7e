"""What noise on chosen weights did, as numbers, sentences and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memunlearn.analyses.in_words import TOO_FEW
from memunlearn.analyses.material import Material
from memunlearn.analyses.weight_noise_comparison import Contrast, Specificity
from memunlearn.analyses.weight_noise_curves import CONTROL, TOP, NoiseCurves
from memunlearn.masks import Mask
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.words import with_interval


def compared_at(curves: NoiseCurves) -> int:
    """Place of the scale that is told of: the least that halves memorized EM, or the largest."""
    halved = curves.halved_at(TOP)
    return len(curves.scales) - 1 if halved is None else halved


def numbers(curves: NoiseCurves, top: Mask, found: Specificity | None) -> dict[str, Any]:
    """The key numbers; top: one seed's top weights."""
    halved, at = curves.halved_at(TOP), compared_at(curves)
    return {
        "weights": top.k,
        "eligible": top.eligible,
        "noise_unit": curves.unit,
        "paragraphs": {name: curves.sizes[name] for name in curves.sets},
        "without_noise": {name: {"em": curves.without("em", name), "nll": curves.without("nll", name)} for name in curves.sets},
        "halved_at": None if halved is None else curves.scales[halved],
        "halved_at_by_choice": {
            choice: None if (place := curves.halved_at(choice)) is None else curves.scales[place] for choice in curves.choices
        },
        "compared_at": curves.scales[at],
        "at_that_scale": {
            choice: {
                name: {"em": curves.mean("em", choice, name, at), "nll": curves.mean("nll", choice, name, at)}
                for name in curves.sets
            }
            for choice in curves.choices
        },
        # None too where there is no control, or where it never does as much harm.
        "against_control": None if found is None else _against_control(found),
    }


def _against_control(found: Specificity) -> dict[str, Any]:
    return {
        "scale": found.scale,
        "own_text_nll_rise": found.harm,
        "nll_rise": _rises(found.top),
        "same_noise": _contrast(found.same_noise),
        "same_harm": _contrast(found.same_harm),
        "memorized_suffers": {1: "more", 0: "no clear difference", -1: "less"}[found.sign] if found.enough else None,
    }


def _contrast(contrast: Contrast) -> dict[str, Any]:
    return {
        "control_scale": contrast.control_scale,
        "nll_rise": _rises(contrast.control),
        "difference": contrast.difference.numbers(),
        "by_seed": list(contrast.by_seed),
        "over_seeds": None if contrast.over_seeds is None else list(contrast.over_seeds),
    }


def _rises(pair: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("memorized", "non_memorized"), pair, strict=True))


def sentences(curves: NoiseCurves, fraction: float, found: Specificity | None) -> tuple[str, ...]:
    at, halved = compared_at(curves), curves.halved_at(TOP)
    percent = f"{100 * fraction:.3g} %"
    before = f"{curves.without('em', 'memorized'):.1f}"
    after = f"{_shown(curves.mean('em', TOP, 'memorized', at), '.1f')} tokens"
    if halved is None:
        first = f"No noise up to {curves.scales[at]:g} standard deviations on the top {percent} of weights halves memorized EM"
        first += f" ({before} without noise, {after} at the most noise)"
    else:
        deviations = f"{curves.scales[at]:g} standard deviation{'' if curves.scales[at] == 1 else 's'}"
        first = f"Noise of {deviations} on the top {percent} of weights is the least that halves"
        first += f" memorized EM (from {before} to {after})"
    first += f"; there {_changed(curves, at)}."
    others = [choice for choice in curves.choices if choice != TOP]
    kept = ", ".join(
        f"{_shown(curves.mean('em', choice, 'memorized', at), '.1f')} with {_weights(choice)}" for choice in others
    )
    second = f"The same noise on as many other weights leaves memorized EM at {kept}: {_verdict(curves, others, at)}."
    if CONTROL not in curves.choices:
        return first, second
    return first, second, _specific(found, curves.seeds)


def _specific(found: Specificity | None, seeds: int) -> str:
    if found is None:
        return (
            f"At no scale does noise on {_weights(CONTROL)} harm the model as much as on those of memorized text: whether "
            "memorized text rests on its top weights more than on important ones cannot be told."
        )
    rises = "; ".join(
        f"{memorized:+.2f} (memorized) and {non_memorized:+.2f} (non-memorized) with {what}"
        for what, (memorized, non_memorized) in (
            (_weights(TOP), found.top),
            (_weights(CONTROL), found.same_noise.control),
            (f"as much harm to the model by way of these ({found.harm:+.2f} on its own text)", found.same_harm.control),
        )
    )
    if not found.enough:
        said = "too few seeds to tell this from chance" if seeds < SEEDS_AT_LEAST else TOO_FEW
    elif found.sign:
        said = f"these weights matter {'more' if found.sign > 0 else 'less'} to memorized text than weights that merely matter"
    else:
        said = "nothing says that they matter to memorized text in particular, rather than as important weights do"
    differences = " and ".join(
        f"{with_interval(contrast.difference.numbers(), 'nats')} {at}"
        for contrast, at in ((found.same_noise, "at the same noise"), (found.same_harm, "at the same harm"))
    )
    return (
        f"With noise of {found.scale:g} standard deviations, NLL changes by {rises}: {said} (memorized beyond non-memorized, "
        f"against the control: {differences})."
    )


def _changed(curves: NoiseCurves, at: int) -> str:
    said = []
    for name in curves.sets:
        after = curves.mean("nll", TOP, name, at)
        said.append(f"{_shown(None if after is None else after - curves.without('nll', name), '+.2f')} ({_named(name)})")
    return f"NLL changes by {' and '.join(said)} nats per token"


def _verdict(curves: NoiseCurves, others: Sequence[str], at: int) -> str:
    """What the seeds tell apart, one choice at a time."""
    if curves.seeds < SEEDS_AT_LEAST:
        return f"too few noise seeds to tell them apart ({curves.seeds} of {SEEDS_AT_LEAST})"
    said = []
    top = curves.over_seeds("em", TOP, "memorized", at)
    for choice in others:
        other = curves.over_seeds("em", choice, "memorized", at)
        if max(top) < min(other):
            said.append(f"the top weights do more harm than {_weights(choice)} in every seed")
        elif min(top) > max(other):
            said.append(f"the top weights do less harm than {_weights(choice)} in every seed")
        else:
            said.append(f"no difference between the top weights and {_weights(choice)} beyond that of seeds")
    return "; ".join(said)


def _weights(choice: str) -> str:
    return {TOP: "the top weights of memorized text", CONTROL: "the top weights of non-memorized text"}.get(
        choice, f"{choice} weights"
    )


def _shown(value: float | None, form: str) -> str:
    return "no finite number" if value is None else format(value, form)


def _named(name: str) -> str:
    return name.replace("_", "-")


def notes(curves: NoiseCurves, material: Material, top: Mask, held_out: bool) -> tuple[str, ...]:
    found = [
        f"Noise is Gaussian, in units of {curves.unit:.4g}, the standard deviation of all eligible weights together; "
        f"{top.k} of {top.eligible} weights get it.",
        "In each seed weights are chosen for one half of the clusters, and the other half is read."
        if held_out
        else "A group is one cluster: its weights are chosen for the rows that are read, which makes them look better.",
    ]
    if curves.seeds == 1:
        found.append("One noise seed: there is no band.")
    if "non_memorized" not in curves.sets:
        found.append("There is no non-memorized paragraph: only memorized ones are read, and there is no control.")
    if material.self_generated:
        found.append("Continuations appear to be the model's own output: EM is agreement with what it said without noise.")
    return tuple(found)
