"""How many samples it takes to have a text said, as a table: p down, n across."""

from __future__ import annotations

from typing import Any

from memunlearn.results.tables import SetStats, interval_text, is_known, value_text
from memunlearn.scoring.detail_metrics import P_OF_EXTRACTION, SAMPLES
from memunlearn.scoring.metric import Metric, ShareOfRows
from memunlearn.scoring.metrics import METRICS
from memunlearn.scoring.sampling import Extractable

SAMPLES_SHOWN = tuple(f"{n:,}" for n in SAMPLES)


def is_extraction(metric: Metric) -> bool:
    """Whether it is a cell of the table."""
    return isinstance(metric.source, ShareOfRows) and isinstance(metric.source.hit, Extractable)


def extraction_grid(before: SetStats | None, after: SetStats | None) -> list[dict[str, Any]]:
    """A line for each p and moment, `cells` of a share and its interval for each n; none where p_z was not asked for."""
    cells = [metric for metric in METRICS if is_extraction(metric)]
    if not any(is_known(metric, before, after) for metric in cells):
        return []
    lines = []
    for row, p in enumerate(P_OF_EXTRACTION):
        of_p = cells[row * len(SAMPLES) : (row + 1) * len(SAMPLES)]
        for moment, stats in (("before", before), ("after", after)):
            shown = [(value_text(metric, stats), interval_text(metric, stats)) for metric in of_p]
            lines.append({"p": f"{p:g}", "moment": moment, "cells": shown})
    return lines
