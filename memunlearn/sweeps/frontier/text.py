"""`frontier.md`: sentences and tables as text; the source of what is said elsewhere about methods."""

from __future__ import annotations

from collections.abc import Sequence

from memunlearn.sweeps.frontier.content import HOW, FrontierContent
from memunlearn.sweeps.frontier.tables import Cell, Table
from memunlearn.sweeps.markdown import plain, table


def text_of(name: str, content: FrontierContent) -> str:
    """name: of the sweep. What comes from configs and errors cannot break a table."""
    parts = [f"# memunlearn: frontier {plain(name)}", *(f"> {plain(note)}" for note in content.notes)]
    parts += [f"{content.progress} {content.budget}".strip(), content.headline, _list(content.sentences)]
    for one in content.tables:
        parts += [f"## {one.title}", one.how, table_of(one)]
    parts += ["## How to read it", *HOW]
    if content.lost:
        rows = [[reading.job.folder, reading.job.candidate.label, str(reading.job.seed), why] for reading, why in content.lost]
        parts += ["## Failed", table(["run", "candidate", "seed", "why"], rows)]
    if content.remarks:
        parts += ["## Remarks", _list(content.remarks)]
    return "\n\n".join(filter(None, parts)) + "\n"


def table_of(one: Table) -> str:
    rows = [
        [f"**{name}**" if place in one.marked else name, *map(_cell, cells)] for place, (name, cells) in enumerate(one.rows)
    ]
    return table(["candidate", *map(_cell, one.header)], rows)


def _cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.small})" if cell.small else cell.text


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {plain(line)}" for line in lines)
