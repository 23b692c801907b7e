"""`certificate.html` where a takedown found nothing that the model recites: a short page that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memunlearn.reporting.page import fact_text, rendered
from memunlearn.results.found import TOO_SHORT, of_kind

NOT_LOOKED_AT = (
    "Other ways of asking: other beginnings, questions about a text, translations or paraphrases.",
    "Answers with chance in them: the model always took its most likely token.",
    "Whether the model was trained on these texts: it may have been, and not recite them.",
)


def nothing_found_page(found: Mapping[str, Any]) -> str:
    """The page as HTML. found: the content of find.json, in which no text is recited."""
    environment = found["environment"]
    return rendered(
        "nothing_found.html.jinja",
        version=(environment.get("libraries") or {}).get("memunlearn"),
        texts=found["texts"],
        too_short=[text["name"] for text in of_kind(found["texts"], TOO_SHORT)],
        length=found["continuation_length"],
        least=found["least"],
        not_looked_at=NOT_LOOKED_AT,
        hashes=[("model (its weights)", found["model"]["fingerprint"]), *(found.get("inputs") or {}).items()],
        facts=[
            ("model", str(found["model"]["name"])),
            ("seed", str(found["seed"])),
            *((name, fact_text(value)) for name, value in environment.items()),
        ],
    )
