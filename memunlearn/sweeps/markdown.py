"""`sweep.md`: the sweep's numbers as text that can be read in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.sweeps.comparisons import ComparedSettings
from memunlearn.sweeps.content import HOW, JobRow, SweepContent
from memunlearn.sweeps.differences import Difference
from memunlearn.sweeps.means import Mean
from memunlearn.sweeps.sentences import headline_sentences, points
from memunlearn.words import counted, p_value_alone, to

OVER_CLUSTERS = "Intervals: over the clusters (and trials) of the run, conditional on it; of the share still memorized: exact."
JOB_NUMBERS = ("forget EM", "still memorized", "bystander EM", "retain KL", "kept step")


def markdown(name: str, content: SweepContent) -> str:
    """The whole text; what comes from configs and errors cannot break a table."""
    parts = [f"# memunlearn: sweep {plain(name)}", *(f"> {plain(note)}" for note in content.notes), content.headline]
    if content.setting_rows:
        parts += ["## Settings", "Means over seeds after the runs.", settings_table(content)]
        parts += [f"- {remark}" for remark in _units(content)]
    if content.comparisons:
        parts += ["## Comparisons", *HOW]
    for comparison in content.comparisons:
        parts += [f"### {comparison.title}" + (f" ({plain(comparison.held)})" if comparison.held else "")]
        parts += ["\n".join(f"- {plain(remark)}" for remark in comparison.remarks)] * bool(comparison.remarks)
        parts += ["\n".join(f"- {line}" for line in headline_sentences(comparison)), comparison_table(comparison)]
    if content.jobs:
        parts += ["## Runs", OVER_CLUSTERS, jobs_table(content)]
    if content.lost:
        rows = [[run.folder, run.state, " ".join(run.overrides), why] for run, why in content.lost]
        parts += ["## Failed and unfinished", table(["run", "state", "overrides", "why"], rows)]
    if content.remarks:
        parts += ["## Remarks", "\n".join(f"- {plain(remark)}" for remark in content.remarks)]
    return "\n\n".join(parts) + "\n"


def settings_table(content: SweepContent) -> str:
    names = [f"{mean.quantity.label} ({mean.quantity.unit})" for mean in content.setting_rows[0].means]
    rows = [[row.label, str(len(row.seeds)), *map(mean_text, row.means)] for row in content.setting_rows]
    return table(["setting", "seeds", *names], rows)


def comparison_table(comparison: ComparedSettings) -> str:
    header = ["when", "what", "unit", comparison.a, comparison.b, "difference", "95 % interval", "p", "seeds", "over"]
    rows = [_difference_row(found) for found in comparison.differences]
    few = [f"{found.moment}, {found.quantity.label}: {points(found)}" for found in comparison.differences if not found.interval]
    said = table(header, rows)
    return said + ("\n\n" + "\n".join(f"- {line}" for line in few) if few else "")


def jobs_table(content: SweepContent) -> str:
    return table(("run", "setting", "seed", *JOB_NUMBERS, "stopped because"), [_job_row(job) for job in content.jobs])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns."""
    cells = [[plain(cell) for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[place]) for row in cells)) for place in range(len(header))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in cells]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def mean_text(mean: Mean) -> str:
    """`3.20 (2.10 to 4.05)`."""
    if mean.value is None:
        return "-"
    value = mean.quantity.text(mean.value)
    return value if mean.interval is None else f"{value} ({mean.quantity.to(mean.interval)})"


def _units(content: SweepContent) -> list[str]:
    """Each unit of an interval with the columns and settings that it holds for."""
    held: dict[str, dict[str, None]] = {}
    for row in content.setting_rows:
        for mean in row.means:
            if mean.unit:
                held.setdefault(mean.unit, {}).setdefault(mean.quantity.label)
    return [f"{', '.join(labels)}: {unit}" for unit, labels in held.items()]


def _difference_row(found: Difference) -> list[str]:
    quantity, interval = found.quantity, found.interval
    return [
        found.moment + (f" ({found.note})" if found.note else ""),
        quantity.label,
        quantity.unit,
        quantity.text(found.mean_a),
        quantity.text(found.mean_b),
        quantity.signed(found.mean),
        "-" if interval is None else quantity.signed_to(interval),
        "-" if found.p is None else p_value_alone(found.p),
        str(len(found.pairs)),
        "-" if interval is None else found.unit,
    ]


def _job_row(job: JobRow) -> list[str]:
    memorized, share = "-", job.memorized
    if share is not None:
        within = share_text(share.interval)
        memorized = f"{share.hits} of {counted(share.clusters, 'cluster')}" + (f" ({within})" if within else "")
    step = "-" if job.kept_step is None else f"{job.kept_step:,}"
    means = [mean_text(job.forget_em), memorized, mean_text(job.bystander_em), mean_text(job.retain_kl)]
    return [job.run.folder, job.label, job.seed, *means, step, job.stopped]


def share_text(interval: tuple[float, float] | None) -> str:
    """`0.0 to 10.9 %`; nothing where there is no interval."""
    return "" if interval is None else f"{to((100 * interval[0], 100 * interval[1]), 1)} %"


def plain(text: str) -> str:
    """The text in one line, which ends no table's cell and is no HTML."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
