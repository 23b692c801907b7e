"""`attacks.html`: what was tried to get forgotten text back, and how far it came, on one page that needs no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from memunlearn.charts.description import Chart
from memunlearn.charts.files import Picture, picture
from memunlearn.files.writing import finite_or_null, write_text
from memunlearn.reporting.page import fact_text, figures_of, plots_of, rendered
from memunlearn.results.attacks.content import AttacksContent, read_attacks
from memunlearn.results.attacks.figures import attack_charts
from memunlearn.results.attacks.tables import SHOWN, attack_table, title, worst_table
from memunlearn.scoring.metrics import EM, LONGEST_RUN

PAGE = "attacks.html"
OPEN_AT_MOST = 12
"""Attempts of a table that is shown at once."""


def write_attacks_page(directory: Path) -> list[Path]:
    """`attacks.html` from the `attacks.json` in a folder: the same file gives the same page. Returns what was written.

    Raises UserError where attacks.json is missing or damaged.
    """
    content = read_attacks(directory)
    charts = attack_charts(content)
    write_text(directory / PAGE, page(content, charts, [picture(chart) for chart in charts]))
    return [directory / PAGE]


def page(content: AttacksContent, charts: Sequence[Chart], pictures: Sequence[Picture] = ()) -> str:
    """The page as HTML. charts: of `attack_charts`; pictures: of these, for paper and where scripts do not run."""
    environment = content.environment
    facts = [("seed", str(content.seed))]
    facts += [(f"sha256, {name}", fact_text(value)) for name, value in content.hashes.items()]
    facts += [
        (f"time, {title(name)}", f"{attack.seconds:.1f} s")
        for name, attack in content.attacks.items()
        if attack.seconds is not None
    ]
    facts += [(str(name), fact_text(value)) for name, value in environment.items() if name != "command"]
    return rendered(
        "attacks.html.jinja",
        notes=content.notes,
        subjects=content.subjects,
        attacks=[
            {
                "name": name,
                "title": title(name),
                "sentence": attack.sentence,
                "protocol": attack.protocol.replace("`", ""),
                "table": attack_table(attack, content.subjects),
            }
            for name, attack in content.attacks.items()
        ],
        open_at_most=OPEN_AT_MOST,
        metrics=SHOWN,
        worst=worst_table(content),
        worst_metrics=(EM, LONGEST_RUN),
        figures=figures_of(charts, pictures),
        plots=plots_of(charts),
        command=environment.get("command"),
        commit=environment.get("commit"),
        facts=facts,
        config=json.dumps(finite_or_null(content.config), indent=2, ensure_ascii=False, default=str),
    )
