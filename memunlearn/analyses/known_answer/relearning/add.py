"""From trials to what is added to the finding of `known_answer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from memunlearn.analyses.known_answer.relearning.charts import charts
from memunlearn.analyses.known_answer.relearning.compare import compare
from memunlearn.analyses.known_answer.relearning.measure import Relearning, Trial
from memunlearn.analyses.known_answer.relearning.tell import notes, numbers, sentences, table
from memunlearn.results.finding import Finding


def add_relearning(finding: Finding, trials: Sequence[Trial], kinds: Sequence[str], relearning: Relearning) -> Finding:
    """The finding with what relearning shows: after its own sentences, beside its own table and figures."""
    compared = compare(trials, kinds, relearning.steps)
    return replace(
        finding,
        sentences=(*finding.sentences, *sentences(compared)),
        numbers=finding.numbers | {"relearning": numbers(compared, trials)},
        tables=finding.tables | {"known_answer_relearning": table(trials)},
        charts=(*finding.charts, *charts(compared)),
        notes=(*finding.notes, *notes(trials, relearning)),
    )
