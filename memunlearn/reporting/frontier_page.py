"""`frontier.html`: one page that needs no network, the picture first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from memunlearn.charts.description import Chart
from memunlearn.charts.files import picture, write_pictures
from memunlearn.files.writing import remove_leftovers, write_text
from memunlearn.reporting.page import figures_of, plots_of, rendered
from memunlearn.results.sentence import STOPPED_BECAUSE
from memunlearn.sweeps.frontier.charts import frontier_charts
from memunlearn.sweeps.frontier.content import HOW, FrontierContent, content_of
from memunlearn.sweeps.frontier.read import JobReading
from memunlearn.sweeps.frontier.text import text_of


def write_frontier(sweep: Path) -> list[Path]:
    """`frontier.html`, `frontier.md` and the figures, from whatever the jobs' folders hold by now; the same folders give the
    same files. Returns their paths. Raises UserError where frontier.json is missing or damaged."""
    content = content_of(sweep)
    remove_leftovers(sweep)
    name = sweep.resolve().name
    html, text = sweep / "frontier.html", sweep / "frontier.md"
    charts = frontier_charts(content)
    write_text(text, text_of(name, content))
    write_text(html, page(name, content, charts))
    return [html, text, *write_pictures(sweep / "figures", [picture(chart) for chart in charts])]


def page(name: str, content: FrontierContent, charts: Sequence[Chart]) -> str:
    """The page as HTML. name: of the sweep, shown in the title. charts: of `frontier_charts`."""
    figures = figures_of(charts, ())
    return rendered(
        "frontier.html.jinja",
        name=name,
        content=content,
        figures=figures,
        plots=plots_of(charts),
        how=HOW,
        jobs=[
            (reading, _link(reading), STOPPED_BECAUSE.get(reading.stopped_because, reading.stopped_because))
            for reading in content.readings
        ],
    )


def _link(reading: JobReading) -> str:
    # A folder's name may hold a colon, which would read as a scheme.
    return "./" + quote(f"{reading.job.folder}/report.html") if reading.has_report else ""
