"""Charts for a page: what its script draws, and the libraries that the script needs."""

from __future__ import annotations

import functools
from typing import Any

from memunlearn.charts.description import Chart
from memunlearn.charts.vega_lite import VEGA_LITE, figure

WIDE, NARROW = 900, 350
"""Pixels that a figure has on a desk and on a phone."""
LICENCES = (
    "/* Vega, Vega-Lite, Vega-Embed (https://vega.github.io): BSD 3-Clause, copyright University of Washington Interactive "
    "Data Lab. D3 (https://d3js.org): ISC, copyright Mike Bostock. */\n"
)


def page_figure(chart: Chart) -> dict[str, Any]:
    """{"datasets": rows by name, "wide": specification, "narrow": the same for a phone: panels below each other}."""
    wide, narrow = figure(chart, chart.columns, WIDE), figure(chart, 1, NARROW)
    return {"datasets": wide.datasets, "wide": wide.spec, "narrow": narrow.spec}


@functools.cache
def library() -> str:
    """Vega-Embed with all that it needs, as one script (0.9 MB) that defines `vegaEmbed`."""
    import vl_convert

    return LICENCES + vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
