"""What `weight_noise` says, its numbers, table and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memunlearn.analyses.claims import TOO_FEW
from memunlearn.analyses.weight_noise.charts import charts, shown
from memunlearn.analyses.weight_noise.compare import METRICS, Contrast, Curves, Specificity
from memunlearn.analyses.weight_noise.measure import CONTROL, TOP, Measured
from memunlearn.localization.labelled import Table, stacked, table_of
from memunlearn.results.finding import Finding
from memunlearn.statistics.estimates import number_or_none
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.words import with_interval

OVER_SEEDS = (
    "noise seeds, each with its own choices of weights and its own half of the clusters: lowest to highest, conditional on "
    "this model and these paragraphs; the comparison with the control: clusters of near-duplicates, too"
)


def tell(measured: Measured, compared: tuple[Curves, Specificity | None], fraction: float, self_generated: bool) -> Finding:
    curves, found = compared
    return Finding(
        name="weight_noise",
        title="Noise on the weights with the highest attribution",
        sentences=_sentences(curves, fraction, found),
        unit=OVER_SEEDS,
        numbers=_numbers(measured, curves, found),
        tables={"weight_noise": _table(curves, measured.unit)},
        charts=charts(curves, fraction),
        notes=_notes(measured, curves, self_generated),
    )


def _table(curves: Curves, unit: float) -> Table:
    """A row a choice, scale, seed and set; the choice `none` is the model without noise."""
    tables = []
    for name, paragraphs in curves.sizes.items():
        em, nll = curves.without["em", name], number_or_none(curves.without["nll", name])
        none = {"choice": "none", "scale": 0.0, "deviation": 0.0, "seed": None, "set": name}
        none |= {"paragraphs": paragraphs, "em": em, "nll": nll}
        labels = {"choice": curves.choices, "scale": curves.scales, "seed": range(curves.seeds)}
        with_noise = table_of(labels, {metric: curves.values[metric, name] for metric in METRICS}, set=name)
        with_noise["deviation"] = [scale * unit for scale in with_noise["scale"]]
        with_noise["paragraphs"] = [paragraphs] * len(with_noise["em"])
        tables.append({column: [first, *with_noise[column]] for column, first in none.items()})
    return stacked(tables)


def _numbers(measured: Measured, curves: Curves, found: Specificity | None) -> dict[str, Any]:
    at, halved = curves.compared_at, {choice: curves.halved_at(choice) for choice in curves.choices}
    scale_of = {choice: None if place is None else curves.scales[place] for choice, place in halved.items()}
    return {
        "weights": measured.top.k,
        "eligible": measured.top.eligible,
        "noise_unit": measured.unit,
        "paragraphs": curves.sizes,
        "without_noise": {name: {metric: curves.without[metric, name] for metric in METRICS} for name in curves.sizes},
        "halved_at": scale_of[TOP],
        "halved_at_by_choice": scale_of,
        "compared_at": curves.scales[at],
        "at_that_scale": {
            choice: {name: {metric: curves.mean(metric, choice, name, at) for metric in METRICS} for name in curves.sizes}
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


def _sentences(curves: Curves, fraction: float, found: Specificity | None) -> tuple[str, ...]:
    at, halved = curves.compared_at, curves.halved_at(TOP)
    percent = f"{100 * fraction:.3g} %"
    before = f"{curves.without['em', 'memorized']:.1f}"
    after = f"{_finite(curves.mean('em', TOP, 'memorized', at), '.1f')} tokens"
    if halved is None:
        first = f"No noise up to {curves.scales[at]:g} standard deviations on the top {percent} of weights halves memorized EM"
        first += f" ({before} without noise, {after} at the most noise)"
    else:
        deviations = f"{curves.scales[at]:g} standard deviation{'s' * (curves.scales[at] != 1)}"
        first = f"Noise of {deviations} on the top {percent} of weights is the least that halves"
        first += f" memorized EM (from {before} to {after})"
    first += f"; there {_changed(curves, at)}."
    others = [choice for choice in curves.choices if choice != TOP]
    kept = ", ".join(
        f"{_finite(curves.mean('em', choice, 'memorized', at), '.1f')} with {_weights(choice)}" for choice in others
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


def _changed(curves: Curves, at: int) -> str:
    said = []
    for name in curves.sizes:
        after = curves.mean("nll", TOP, name, at)
        said.append(f"{_finite(None if after is None else after - curves.without['nll', name], '+.2f')} ({shown(name)})")
    return f"NLL changes by {' and '.join(said)} nats per token"


def _verdict(curves: Curves, others: Sequence[str], at: int) -> str:
    """What the seeds tell apart, one choice at a time."""
    if curves.seeds < SEEDS_AT_LEAST:
        return f"too few noise seeds to tell them apart ({curves.seeds} of {SEEDS_AT_LEAST})"
    said = []
    top = curves.of("em", TOP, "memorized")[at].tolist()
    for choice in others:
        other = curves.of("em", choice, "memorized")[at].tolist()
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


def _finite(value: float | None, form: str) -> str:
    return "no finite number" if value is None else format(value, form)


def _notes(measured: Measured, curves: Curves, self_generated: bool) -> tuple[str, ...]:
    found = [
        f"Noise is Gaussian, in units of {measured.unit:.4g}, the standard deviation of all eligible weights together; "
        f"{measured.top.k} of {measured.top.eligible} weights get it.",
        "In each seed weights are chosen for one half of the clusters, and the other half is read."
        if measured.held_out
        else "A group is one cluster: its weights are chosen for the rows that are read, which makes them look better.",
    ]
    if curves.seeds == 1:
        found.append("One noise seed: there is no band.")
    if "non_memorized" not in curves.sizes:
        found.append("There is no non-memorized paragraph: only memorized ones are read, and there is no control.")
    if self_generated:
        found.append("Continuations appear to be the model's own output: EM is agreement with what it said without noise.")
    return tuple(found)
