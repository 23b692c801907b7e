"""`sweep.html`: one page that needs no network, from what the sweep says. plotly.js is in it, once."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any
from urllib.parse import quote

from memunlearn.files.writing import finite_or_null
from memunlearn.reporting.page import FORBIDDEN_IN_HTML
from memunlearn.sweeps.content import HOW, JobRow, SweepContent
from memunlearn.sweeps.differences import Difference
from memunlearn.sweeps.markdown import OVER_CLUSTERS, share_text
from memunlearn.sweeps.means import Mean
from memunlearn.sweeps.plots import plots_of
from memunlearn.sweeps.sentences import TOO_FEW, headline_sentences, no_interval, points
from memunlearn.words import p_value_alone

# Print opens what is folded; on screens each figure fills its place.
DRAWING = """
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [name, figure] of Object.entries(figures)) {
  Plotly.newPlot(name, figure.data, figure.layout, {responsive: true, displaylogo: false, displayModeBar: false});
}
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) { folded.open = true; }
});
"""


def page(name: str, content: SweepContent) -> str:
    """The page as HTML. name: of the sweep, shown in the title."""
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable
    )
    template = environment.from_string(resources.files(__package__).joinpath("sweep.html.jinja").read_text("utf-8"))
    figures = plots_of(content)
    plotly = get_plotlyjs()
    return template.render(
        name=name,
        content=content,
        few=_few(content),
        figures=figures,
        figures_json=in_script(
            json.dumps(finite_or_null({figure.name: figure.spec for figure in figures}), separators=(",", ":"))
        ),
        has_paths=any(figure.name.startswith("forget-em-") for figure in figures),
        plotly=plotly,
        drawing=DRAWING,
        script_hashes=f"{_script_hash(plotly)} {_script_hash(DRAWING)}",
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
        points=points,
        share_text=share_text,
    )


def in_script(text: str) -> str:
    """JSON that cannot end the script element that it stands in."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _link(row: JobRow) -> str:
    # A folder's name may hold a colon, which would read as a scheme.
    return "./" + quote(f"{row.run.folder}/report.html")


def _script_hash(script: str) -> str:
    """The source expression that lets this script run and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


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


def _printable(value: Any) -> Any:
    return FORBIDDEN_IN_HTML.sub("\ufffd", value) if type(value) is str else value
