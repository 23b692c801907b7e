"""What an attack brought back, in one sentence for a reader who knows no attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memunlearn.words import counted, readings, settings_text

NAMES = {"base": "the base model", "unlearned": "the unlearned model", "oracle": "the oracle, which never saw the text,"}


def sentence(attempts: Sequence[Mapping[str, Any]], worst: Mapping[str, int | None], length: int) -> str:
    """attempts, worst: as in attacks.json; length: C.

    First of the unlearned model (of the base model where it is alone), then of the base model treated the same way, then of the
    oracle's own worst.
    """
    first = "unlearned" if "unlearned" in worst else next(iter(worst), None)
    if first is None or not any(attempt["subject"] == first for attempt in attempts):
        return "Nothing was tried here."
    tried = [attempt for attempt in attempts if attempt["subject"] == first]
    place = worst[first]
    if place is None:
        notes = sorted({attempt["note"] for attempt in tried if attempt["note"]})
        return f"None of {counted(len(tried), 'attempt')} on {NAMES[first].rstrip(',')} counts: {'; '.join(notes)}."
    found = attempts[place]
    counting = sum(attempt["counts"] for attempt in tried)
    number = f"the worst of {counting} attempts" if counting > 1 else "the one attempt that counts"
    parts = [f"On {NAMES[first]} {number} ({settings_text(found['settings'])}) brought back {_came_back(found, length)}"]
    if first != "base":
        same = next((a for a in attempts if a["subject"] == "base" and a["settings"] == found["settings"]), None)
        if same is not None:
            parts.append(f"{NAMES['base']} treated the same way says {_came_back(same, length)}")
    of_oracle = worst.get("oracle")
    if of_oracle is not None:
        own = attempts[of_oracle]
        parts.append(f"{NAMES['oracle']} says after its worst ({settings_text(own['settings'])}) {_came_back(own, length)}")
    return f"{'; '.join(parts)}."


def _came_back(attempt: Mapping[str, Any], length: int) -> str:
    whole, rows = round(attempt["memorized"] * attempt["n"]), attempt.get("rows", attempt["n"])
    return f"{whole} of {readings(attempt['n'], rows, 'row')} whole (EM {attempt['em']:.1f} of {length} on average)"
