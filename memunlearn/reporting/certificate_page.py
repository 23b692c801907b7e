"""`certificate.html`: for the person who asked for a removal, and the lawyer who reads it; on paper too."""

from __future__ import annotations

from pathlib import Path

from memunlearn.files.writing import write_text
from memunlearn.reporting.page import fact_text, rendered
from memunlearn.results.certificate.attempts import attack_words
from memunlearn.results.certificate.content import Content, read_content
from memunlearn.results.certificate.glossary import TERMS
from memunlearn.results.certificate.summary import membership_lines, oracle_lines, set_lines, summary, task_lines
from memunlearn.results.certificate.texts import other_rows, text_lines
from memunlearn.results.certificate.untested import not_tested

CERTIFICATE = "certificate.html"
FILES = {
    "base": "original model (its weights)",
    "patch": "patch (the file)",
    "unlearned": "changed model (its weights)",
}


def write_certificate(directory: Path) -> list[Path]:
    """`certificate.html` from evaluation.json, and attacks.json where there is one: the same files give the same page.

    Returns what was written. Raises UserError where a file is missing or damaged (`read_content`).
    """
    write_text(directory / CERTIFICATE, page(read_content(directory)))
    return [directory / CERTIFICATE]


def page(content: Content) -> str:
    """The page as HTML."""
    facts = content.facts
    return rendered(
        "certificate.html.jinja",
        notes=content.notes,
        date=facts.date,
        version=(content.environment.get("libraries") or {}).get("memunlearn"),
        summary=summary(content),
        noun=facts.noun,
        texts=text_lines(facts),
        rows=other_rows(facts),
        said=[row for row in facts.rows if row.texts],
        kept=[sentence for sentence in facts.kept if sentence not in content.notes],
        length=facts.length,
        prefix_length=facts.prefix_length,
        attacks=attack_words(content),
        untested=not_tested(content),
        sets=set_lines(content),
        oracle=oracle_lines(content),
        membership=membership_lines(content),
        membership_is=(content.membership or {}).get("figure"),
        tasks=task_lines(content),
        hashes=[
            *((FILES.get(name, name), value) for name, value in facts.hashes.items()),
            *((f"{', '.join(files.names)} ({files.setting})", files.sha256) for files in facts.files),
        ],
        facts=[
            *([("original model", facts.model)] if facts.model else []),
            *([("weights of the checkpoint that was searched", facts.searched_as)] if facts.searched_as else []),
            ("seed", str(content.seed)),
            *((name, fact_text(value)) for name, value in content.environment.items()),
        ],
        terms=TERMS,
    )
