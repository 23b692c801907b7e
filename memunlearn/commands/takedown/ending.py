"""The last lines of a takedown: what came of it, what lies where, and what to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memunlearn.commands.takedown.stages import CHECKPOINT
from memunlearn.paragraphs.given_files import names_in_short
from memunlearn.reporting.certificate_page import CERTIFICATE
from memunlearn.words import counted


def closing_lines(directory: Path, result: Mapping[str, Any]) -> list[str]:
    """result: the content of takedown.json."""
    texts = result["texts"]
    of = counted(sum(len(texts[kind]) for kind in ("recited", "not_recited", "too_short")), "text")
    said = ["", f"{len(texts['recited'])} of {of} recited by the original model, at least in part: {_names(texts['recited'])}"]
    if texts["not_recited"]:
        said.append(f"not recited, so neither trained on nor reported: {_names(texts['not_recited'])}")
    if texts["too_short"]:
        said.append(f"too short to be asked for: {_names(texts['too_short'])}")
    if texts["left"] is None:
        said += [
            "nothing was found to remove: no model was made",
            _where(directory, {CERTIFICATE: "says so", "1-find": "the search"}),
        ]
        return said
    if texts["left"]:
        verb = "is" if len(texts["left"]) == 1 else "are"
        said.append(
            f"warning: {len(texts['left'])} of {of} {verb} still recited in part after unlearning: {_names(texts['left'])}: "
            "the removal is not complete; 3-find-after/find.html shows where. Train more, in another folder: "
            "'unlearn=[stop=deep]'"
        )
    else:
        said.append("recited after unlearning: nothing, of any of these texts")
    return [
        *said,
        _where(
            directory,
            {
                CERTIFICATE: "for whoever asked for the removal",
                f"{CHECKPOINT}/": "the changed model, a plain checkpoint for AutoModelForCausalLM.from_pretrained",
                "1-find/find.html": "what was recited, marked in the texts; 3-find-after/find.html: what is now",
                "2-unlearn/report.html": "the training; 2-unlearn/patch.safetensors: the change alone, without any text",
                "4-attacks/": "the measurements behind the certificate",
            },
        ),
        "next: read the certificate, look at what was not tested, then put model/ in the original model's place",
    ]


def _where(directory: Path, files: Mapping[str, str]) -> str:
    width = max(map(len, files))
    return "\n".join([f"in {directory}:", *(f"  {name.ljust(width)}  {what}" for name, what in files.items())])


def _names(names: list[str]) -> str:
    return names_in_short(names) if names else "none"
