"""Differences in words: sign and size, and how certain they are."""

from __future__ import annotations

from memunlearn.statistics.intervals import too_few_clusters
from memunlearn.statistics.seeds import SEEDS_AT_LEAST
from memunlearn.sweeps.comparisons import END, EQUAL_STEPS, ComparedSettings
from memunlearn.sweeps.differences import Difference, PairedRuns
from memunlearn.sweeps.quantities import FORGET_EM, KEPT_STEP
from memunlearn.words import counted, p_value

TOO_FEW = f"fewer than {SEEDS_AT_LEAST} seeds: no interval"


def headline_sentences(comparison: ComparedSettings) -> list[str]:
    """The comparison in a few sentences: the kept states, forget EM at equal steps, and the side effects at equal forget EM
    (the lowest of the levels that most pairs reach)."""
    reached = {found.moment: len(found.pairs) for found in comparison.differences if found.moment not in (END, EQUAL_STEPS)}
    level = max(reversed(reached), key=lambda moment: reached[moment], default=None)
    chosen = [found for found in comparison.differences if _in_headline(found, level)]
    return [sentence(found, comparison.a, comparison.b) for found in chosen]


def sentence(found: Difference, a: str, b: str) -> str:
    """Sign and size in words, the sign only where an interval bears it out; the means, and how certain they are."""
    quantity = found.quantity
    size = quantity.text(abs(found.mean))
    if float(size) == 0:
        said = f"{quantity.label} is on average the same with {a} as with {b} (to {quantity.digits} decimals)"
    elif found.is_borne_out:
        said = f"{quantity.label} is {size} {quantity.unit} {'higher' if found.mean > 0 else 'lower'} with {a} than with {b}"
    else:
        said = f"{quantity.label} with {a} cannot be told from that with {b}"
    means = f"{quantity.text(found.mean_a)} and {quantity.text(found.mean_b)}"
    when = f"{found.moment[0].upper()}{found.moment[1:]}" + (f" ({found.note})" if found.note else "")
    return f"{when}, {said} ({means}; {certainty(found)})."


def certainty(found: Difference) -> str:
    """The interval with its unit, the p-value and the number of seeds, or why there is none."""
    seeds = counted(len(found.pairs), "seed")
    if found.p is not None:
        return f"{_over_seeds(found)}; {p_value(found.p)}; {seeds}"
    if len(found.pairs) > 1 or not found.pairs[0].differences:
        return f"{seeds}; {TOO_FEW}"
    return f"{seeds}; {_within_the_run(found, found.pairs[0])}; {TOO_FEW} across runs"


def points(found: Difference) -> str:
    """The seeds' own differences, where there are too few for an interval: `seed 0: +0.25 (-1.00 to +1.50 over clusters)`."""
    quantity = found.quantity
    said = []
    for pair in found.pairs:
        bounds = "" if pair.interval is None else f" ({quantity.signed_to(pair.interval)})"
        said.append(f"seed {pair.seed}: {quantity.signed(pair.a - pair.b)}{bounds}")
    return "; ".join(said)


def no_interval(found: Difference) -> str:
    """Why there is no interval over seeds."""
    return TOO_FEW if found.p is None else "the same difference in every seed: no interval"


def _over_seeds(found: Difference) -> str:
    if found.interval is None:
        return no_interval(found)
    holds = "" if found.is_borne_out else ", which holds 0"
    return f"95 % interval {found.quantity.signed_to(found.interval)}{holds}, {found.unit}"


def _within_the_run(found: Difference, pair: PairedRuns) -> str:
    if (within := pair.interval) is not None:
        return f"95 % interval {found.quantity.signed_to(within)} over {pair.over}, conditional on this run"
    few = too_few_clusters(min(len(set(pair.clusters)), len(set(pair.units))))
    return f"no interval within the run: {few or 'the same difference in every cluster'}"


def _in_headline(found: Difference, level: str | None) -> bool:
    if found.moment == END:
        return found.quantity != KEPT_STEP
    return found.moment == level or (found.moment == EQUAL_STEPS and found.quantity == FORGET_EM)
