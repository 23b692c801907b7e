"""What a certificate says of whole texts: those that the run was asked about, and what a search finds of them now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from memunlearn.commands.sweep_folder import FOUND, RESULT, content
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.models.patches import Patch
from memunlearn.paths import expanded

REMEDY = "search again with `memunlearn find`"


def facts_of_run(patch_file: Path, patch: Patch, search: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the run that made this patch says of its texts, files and of what was to be kept; nothing where its `result.json`
    is not beside the patch. search: `read_search` of the changed model, None without one.

    Raises UserError where the search is of other texts than the run.
    """
    run = _beside(patch_file, patch)
    if search is not None and (run is None or run.get("texts") is None):
        raise UserError(
            f"certificate.search: {patch_file} has no {RESULT} beside it that names texts: give the patch in its run's folder, "
            "or leave it out"
        )
    if run is None:
        return {}
    facts: dict[str, Any] = {
        "kept": list(run.get("notes", [])),
        "files": [_file(run, *digest) for digest in (run.get("inputs") or {}).items()],
    }
    if run.get("texts") is not None:
        facts["texts"] = _texts(run["texts"], search)
        facts["searched"] = None if search is None else search["model"]["fingerprint"]
    return facts


def read_search(folder: str) -> dict[str, Any]:
    """The content of `find.json` in this folder, or of the file itself. Raises UserError where it cannot be read."""
    path = expanded(folder)
    path = path / FOUND if path.is_dir() else path
    search = read_json(path, REMEDY)
    texts, model = search.get("texts"), search.get("model")
    if not isinstance(texts, list) or not isinstance(model, Mapping) or not isinstance(model.get("fingerprint"), str):
        raise UserError(f"{path} is not the result of a search: {REMEDY}")
    return search


def _beside(patch_file: Path, patch: Patch) -> dict[str, Any] | None:
    """The result of the run that made the patch; None where there is none beside it, or another's."""
    path = expanded(patch_file).parent / RESULT
    if not path.is_file():
        return None
    result = read_json(path, "remove it, and the certificate is made without what it says of texts")
    same = isinstance(result.get("config"), dict) and content(result["config"]) == content(patch.config)
    return result if same else None


def _file(run: Mapping[str, Any], setting: str, sha256: str) -> dict[str, Any]:
    value: Any = run["config"]
    for name in setting.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    given: list[Any] = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
    return {"setting": setting, "names": [Path(str(one)).name or str(one) for one in given], "sha256": sha256}


def _texts(before: Sequence[Mapping[str, Any]], search: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The run's texts, each with what the search found under `now`."""
    if search is None:
        return [{**text, "now": None} for text in before]
    now = {text["name"]: text for text in search["texts"]}
    for text in before:
        if text["name"] not in now or now[text["name"]]["tokens"] != text["tokens"]:
            raise UserError(
                f"certificate.search: the search did not look at {text['name']} as it was in the run (other texts, or another "
                f"tokenizer): {REMEDY} and the same texts"
            )
    return [{**text, "now": {key: now[text["name"]][key] for key in ("em", "windows", "spans")}} for text in before]
