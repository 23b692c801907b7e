"""A sweep's summary: `sweep.parquet`, `sweep.md`, `sweep.html` and its figures, from whatever its run folders hold by now."""

from __future__ import annotations

from pathlib import Path

from memunlearn.charts.files import picture, write_pictures
from memunlearn.files.writing import remove_leftovers, write_parquet, write_text
from memunlearn.reporting.frontier_page import write_frontier
from memunlearn.reporting.sweep_page import page
from memunlearn.sweeps.content import content_of
from memunlearn.sweeps.figures import sweep_charts
from memunlearn.sweeps.frontier.plan import PLAN
from memunlearn.sweeps.job_rows import job_rows
from memunlearn.sweeps.markdown import markdown
from memunlearn.sweeps.runs import read_sweep


def write_summary(sweep: Path) -> list[Path]:
    """Writes every file atomically and returns their paths. The same run folders give the same files. A frontier has a summary
    of its own kind (`write_frontier`).

    Raises UserError where the folder is none or holds no runs (see read_sweep).
    """
    if (sweep / PLAN).is_file():
        return write_frontier(sweep)
    runs = read_sweep(sweep)
    remove_leftovers(sweep)
    content = content_of(runs)
    name = sweep.resolve().name
    rows = job_rows(runs)
    table, text, html = sweep / "sweep.parquet", sweep / "sweep.md", sweep / "sweep.html"
    write_parquet(table, {key: [row[key] for row in rows] for key in rows[0]})
    write_text(text, markdown(name, content))
    charts = sweep_charts(content)
    write_text(html, page(name, content, charts))
    return [table, text, html, *write_pictures(sweep / "figures", [picture(chart) for chart in charts])]
