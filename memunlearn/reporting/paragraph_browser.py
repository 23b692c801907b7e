"""Which paragraphs a run's page shows, and in which form its script gets them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import escape

from memunlearn.results.tables import set_names
from memunlearn.scoring.metric import FromPass, FromPassAndBase, FromText, Metric
from memunlearn.scoring.metrics import METRICS

ROWS_AT_MOST = 200  # of each set but forget
# Of UTF-8. Beside the drawing library (0.9 MB) and the figures, these keep a page under 5 MB whatever the run.
BROWSER_BYTES, TABLE_BYTES = 1_600_000, 500_000

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Shown:
    """rows: what the page holds. counts: for each set (shown, all that have text)."""

    rows: list[dict[str, Any]]
    counts: dict[str, tuple[int, int]]

    @property
    def caption(self) -> str:
        """`all 32 forget rows; 200 of 1,280 retain rows`."""
        return "; ".join(
            f"all {total:,} {name} rows" if shown == total else f"{shown:,} of {total:,} {name} rows"
            for name, (shown, total) in self.counts.items()
        )


def table_rows(paragraphs: Sequence[Row]) -> Shown:
    """The forget rows with text that a page without JavaScript shows, as they are."""
    forget = [dict(row) for row in paragraphs if row.get("set") == "forget" and row.get("continuation_after") is not None]
    texts = ("prefix", "continuation", "continuation_before", "continuation_after", "alternative")
    kept = _within(TABLE_BYTES, forget, lambda row: 300 + sum(_size(escape(row.get(key) or "")) for key in texts))
    return Shown(kept, {"forget": (len(kept), len(forget))})


def browser_rows(paragraphs: Sequence[Row]) -> Shown:
    """Every forget row with text and the first ROWS_AT_MOST of each other set, as the page's script reads them.

    `scores`: by metric [before, after], or only [after] of what compares with the base model. `tokens` are the pieces of the
    original continuation, `token_nll` two lists [before, after] in step with them; rows of runs that did not keep them have
    only `original`. `before` is null where it is the original, word for word.
    """
    with_text = [row for row in paragraphs if row.get("continuation_after") is not None]
    totals: dict[str, int] = {}
    for row in paragraphs:
        totals[row["set"]] = totals.get(row["set"], 0) + 1
    names = set_names({row["set"]: None for row in with_text})
    chosen = []
    for name in names:
        rows = [row for row in with_text if row["set"] == name]
        chosen += rows if name == "forget" else rows[:ROWS_AT_MOST]
    kept = _within(BROWSER_BYTES, [_browser_row(row) for row in chosen], lambda row: _size(embedded_json(row)) + 2)
    counts = {name: (sum(row["set"] == name for row in kept), totals[name]) for name in names}
    return Shown(kept, counts)


def browser_metrics() -> list[tuple[str, str, int]]:
    """Label, key and decimals of what the page shows of each row."""
    return [(metric.label, metric.key, metric.row_digits) for metric in _metrics()]


def embedded_json(data: Any) -> str:
    """JSON that can stand inside a <script> element whatever it holds: no `<`, `>`, `&`, no line separator of JavaScript.

    Raises ValueError for numbers that are not finite.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _metrics() -> list[Metric]:
    kinds = FromPass | FromText | FromPassAndBase
    return [metric for metric in METRICS if isinstance(metric.source, kinds) and metric.in_rows and not metric.detail]


def _browser_row(row: Row) -> dict[str, Any]:
    original, before = row.get("continuation"), row["continuation_before"]
    original = before if original is None else original
    tokens = row.get("token_texts")
    if tokens is not None and "".join(tokens) != original:
        tokens = [f"{token} " for token in tokens]  # ids, where there was no tokenizer
    token_nll = [row.get("token_nll_before"), row.get("token_nll_after")]
    lists = [[_rounded(value, 2) for value in values] for values in token_nll if values is not None]
    return {
        "set": row["set"],
        "index": row["index"],
        "trial": row.get("trial"),
        "cluster": row.get("cluster"),
        "scores": {m.key: [_rounded(row.get(column), m.digits) for column in m.columns] for m in _metrics()},
        "prefix": row.get("prefix") or row.get("prefix_end") or "",
        "tokens": tokens,
        "token_nll": lists if tokens is not None and len(lists) == 2 else None,
        "original": original if tokens is None else None,
        "before": None if before == original else before,
        "after": row["continuation_after"],
        "alternative": row.get("alternative"),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None and math.isfinite(value) else None


def _within(limit: int, rows: Iterable[dict[str, Any]], size: Any) -> list[dict[str, Any]]:
    kept, used = [], 0
    for row in rows:
        used += size(row)
        if used > limit:
            break
        kept.append(row)
    return kept


def _size(text: str) -> int:
    return len(text.encode("utf-8", errors="replace"))
