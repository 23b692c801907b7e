"""`sweep.html`: one page that needs no network, from what the sweep says."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from memunlearn.charts.description import Chart
from memunlearn.reporting.page import figures_of, plots_of, rendered
from memunlearn.sweeps.content import HOW, JobRow, SweepContent
from memunlearn.sweeps.differences import Difference
from memunlearn.sweeps.markdown import OVER_CLUSTERS, share_text
from memunlearn.sweeps.means import Mean
from memunlearn.sweeps.sentences import TOO_FEW, headline_sentences, no_interval, points
from memunlearn.words import counted, p_value_alone


def page(name: str, content: SweepContent, charts: Sequence[Chart]) -> str:
    """The page as HTML. name: of the sweep, shown in the title. charts: of `sweep_charts`."""
    return rendered(
        "sweep.html.jinja",
        name=name,
        content=content,
        few=_few(content),
        figures=figures_of(charts, ()),
        plots=plots_of(charts),
        has_paths=any(chart.name == "trajectories" for chart in charts),
        how=(*HOW, *_number_of_p_values(content)),
        comparisons=[{"comparison": one, "sentences": headline_sentences(one)} for one in content.comparisons],
        jobs=[{"row": row, "href": _link(row)} for row in content.jobs],
        over_clusters=OVER_CLUSTERS,
        no_interval=no_interval,
        too_few=TOO_FEW,
        value=_value,
        interval=_interval,
        signed=_signed,
        difference_interval=_difference_interval,
        p_text=p_value_alone,
        counted=counted,
        points=points,
        share_text=share_text,
    )


def _link(row: JobRow) -> str:
    # A folder's name may hold a colon, which would read as a scheme.
    return "./" + quote(f"{row.run.folder}/report.html")


def _few(content: SweepContent) -> str:
    few = [row.label for row in content.setting_rows if any(mean.unit == TOO_FEW for mean in row.means)]
    return f"{'; '.join(few)}: {TOO_FEW} across runs." if few else ""


def _number_of_p_values(content: SweepContent) -> list[str]:
    number = sum(one.p is not None for comparison in content.comparisons for one in comparison.differences)
    said = f"There are {number:,} p-values on this page: one in twenty would be below 0.05 if nothing made a difference."
    return [said] if number else []


def _value(mean: Mean) -> str:
    return "-" if mean.value is None else mean.quantity.text(mean.value)


def _interval(mean: Mean) -> str:
    return "" if mean.interval is None else mean.quantity.to(mean.interval)


def _signed(found: Difference) -> str:
    return found.quantity.signed(found.mean)


def _difference_interval(found: Difference) -> str:
    return "" if found.interval is None else found.quantity.signed_to(found.interval)
