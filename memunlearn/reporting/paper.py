"""`make paper`: the paper's claims, each beside what was measured here, as one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memunlearn.charts.description import MEMORIZED, NON_MEMORIZED, OTHERS, Chart, Distributions, Group
from memunlearn.charts.files import picture, write_pictures
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.files.writing import write_text
from memunlearn.reporting.localization_page import localization_page
from memunlearn.results.finding import Finding
from memunlearn.results.finding_files import finding_path, read_finding
from memunlearn.sweeps.comparisons import END, ComparedSettings
from memunlearn.sweeps.content import SweepContent, content_of
from memunlearn.sweeps.quantities import FORGET_EM
from memunlearn.sweeps.runs import read_sweep
from memunlearn.sweeps.sentences import sentence
from memunlearn.sweeps.series import distributions

LOCALIZATION, UNLEARNING, PAGE = "localization", "unlearning", "paper.html"
SET_COLOURS = {"forget": MEMORIZED, "retain": NON_MEMORIZED}

CLAIMS = {
    "em_nll": "Memorized paragraphs have far lower NLL than non-memorized ones; EM against NLL separates them.",
    "token_perturbation": (
        "Memorized continuations are harder to corrupt by changing one prefix token than non-memorized ones; a few "
        "distinctive, early tokens corrupt the whole continuation, and what the model then says is a valid "
        "alternative."
    ),
    "parameter_gradients": (
        "Parameter gradients of memorized paragraphs are larger in lower layers than those of non-memorized ones."
    ),
    "activation_gradients": "Activation gradients show the same, and head 2 of layer 1 stands out.",
    "activation_patching": (
        "Patching activations between a paragraph and its perturbed twin finds the components that carry the impact "
        "of the perturbed token."
    ),
    "attention_heads": (
        "At the last prefix token, head 2 of layer 1 attends to rare tokens, and is anti-correlated with the other "
        "heads of its layer."
    ),
    "weight_noise": (
        "Gaussian noise on the 0.1 % of the weights with the largest gradients raises the NLL of memorized paragraphs first."
    ),
    "unlearning": (
        "Unlearning is easier than editing; memorized continuations are harder to unlearn than non-memorized ones; "
        "the 0.1 % of the weights with the largest gradients do better than a random 0.1 %, and spare the rest "
        "compared with all weights."
    ),
}
"""The paper's claims by the name of the analysis that bears on them, in our words (Stoehr et al. 2024)."""


def write_paper(directory: Path) -> list[Path]:
    """`paper.html` and `figures/` from `localization/` (localize.py analysis=all) and `unlearning/` (a sweep of
    experiment=paper) in the folder; returns what was written.

    Raises UserError if either is not there or not complete.
    """
    where = directory / LOCALIZATION
    localization = read_json(where / "localization.json", "run `make paper`, or localize.py there")
    kinds = {"analyses": dict, "failed": dict, "notes": list, "environment": dict, "config": dict}
    if wrong := [name for name, kind in kinds.items() if not isinstance(localization.get(name), kind)]:
        raise UserError(f"{where / 'localization.json'} lacks {', '.join(wrong)}: run `make paper`, or localize.py there")
    findings = [read_finding(finding_path(where, name)).finding for name in localization["analyses"]]
    content = content_of(read_sweep(directory / UNLEARNING))
    findings.append(unlearning_finding(content))
    pictures = [picture(chart) for finding in findings for chart in finding.charts]
    write_pictures(directory / "figures", pictures)
    missing = [f"{name} was not done: {why}" for name, why in localization["failed"].items()]
    notes = tuple(dict.fromkeys([*localization["notes"], *content.notes, *missing]))
    environment = localization["environment"] | {"command": "make paper"}
    html = localization_page(findings, pictures, localization["config"], environment=environment, notes=notes, claims=CLAIMS)
    write_text(directory / PAGE, html)
    return [directory / PAGE, directory / "figures"]


def unlearning_finding(content: SweepContent) -> Finding:
    """The sweep of the paper's protocol: EM after, by setting, and what its comparisons say."""
    charts = []
    for place, (name, rows) in enumerate(distributions(content.settings).items()):
        colour = SET_COLOURS.get(name, OTHERS[place % len(OTHERS)])
        groups = tuple(Group(label=row.setting, values=list(row.em), colour=colour) for row in rows)
        caption = f"EM of the {name} paragraphs after unlearning or editing, by setting: one point a paragraph and trial."
        charts.append(
            Chart(
                name=f"unlearning_{name}",
                caption=caption,
                alt=caption,
                panels=(Distributions(title=f"{name} set", y_label="EM (tokens)", groups=groups),),
                columns=1,
            )
        )
    numbers: dict[str, Any] = {
        row.label: {mean.quantity.label: mean.value for mean in row.means} for row in content.setting_rows
    }
    return Finding(
        name="unlearning",
        title="Unlearning and editing, one paragraph at a time",
        sentences=(content.headline, *_sentences(content.comparisons)),
        unit="trials (below five seeds: conditional on these runs, and no interval across seeds)",
        numbers=numbers,
        tables={},
        charts=tuple(charts),
        notes=(
            f"Every other difference, and each run's page: {UNLEARNING}/sweep.html.",
            *(f"{run.folder}: {why}" for run, why in content.lost),
            *content.remarks,
        ),
    )


def _sentences(comparisons: Sequence[ComparedSettings]) -> list[str]:
    """For each comparison what it says of forget EM at the end; the rest is on the sweep's own page."""
    return [
        f"{comparison.title[0].upper()}{comparison.title[1:]}{f' ({comparison.held})' if comparison.held else ''}: "
        f"{said[0].lower()}{said[1:]}"
        for comparison in comparisons
        for one in comparison.differences
        if (one.moment, one.quantity) == (END, FORGET_EM)
        for said in [sentence(one, comparison.a, comparison.b)]
    ]
