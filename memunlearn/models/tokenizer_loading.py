"""Loading a model's tokenizer, if it has one that loads here."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from memunlearn.errors import UserError
from memunlearn.models.adapters import base_of
from memunlearn.models.load_failures import why_not
from memunlearn.models.locations import is_local, locate
from memunlearn.paths import expanded

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt"),
    *("spiece.model", "sentencepiece.bpe.model", "tekken.json"),
)
NONE = "none"
"""As model.tokenizer: do without one, whatever lies beside the model."""


def load_tokenizer(name_or_path: str, tokenizer: str | None = None, revision: str | None = None) -> Any | None:
    """The tokenizer named `tokenizer`, else the model's own (an adapter's: its own, or its base's).

    None if the model is a folder without one, or for the name `none`: runs then show ids. Raises UserError if a tokenizer that
    is there or was asked for does not load, with the package that it lacks.
    """
    from transformers import AutoTokenizer

    if tokenizer == NONE:
        return None
    name = tokenizer or name_or_path
    if tokenizer is None and is_local(name) and not _has_tokenizer(name):
        base = base_of(name)
        return None if base is None else load_tokenizer(base)
    location = tokenizer_location(name)
    try:
        loaded = AutoTokenizer.from_pretrained(location, revision=None if tokenizer else revision, trust_remote_code=False)
        if set(loaded.get_vocab().values()) <= set(loaded.all_special_ids):
            raise ValueError("it came out empty: its file was not read")
    except Exception as error:
        lacking = _lacking_package(name, error)
        said = why_not("tokenizer", name, error) if lacking is None else f"the tokenizer {name} {lacking}"
        raise UserError(f"{said}; or set model.tokenizer to one that loads (none: rows of ids need none)") from error
    return loaded


def why_without(name_or_path: str) -> str | None:
    """Why the model's own tokenizer does not load; None if it does, or there is none."""
    try:
        load_tokenizer(name_or_path)
    except UserError as error:
        return str(error)
    return None


def tokenizer_location(name: str) -> str:
    """As `locate`. Raises UserError for a folder without a tokenizer, too."""
    # transformers makes an empty tokenizer, without a word, out of a folder that has only a config.
    if is_local(name) and not _has_tokenizer(name):
        raise UserError(f"there is no tokenizer in {name} (none of {', '.join(TOKENIZER_FILES)}): mend model.tokenizer")
    return locate(name)


def _has_tokenizer(folder: str) -> bool:
    return any((expanded(folder) / file).is_file() for file in TOKENIZER_FILES)


def _lacking_package(name: str, error: Exception) -> str | None:
    """What a tokenizer needs that is not installed; None if that is not what is wrong."""
    needed = _package_of_file(expanded(name))
    if needed is None and isinstance(error, ImportError):
        named = re.search(r"pip install ([\w.\-]+)|requires the (\w+) library", str(error))
        needed = (named[1] or named[2].lower()) if named else None
    if needed is None or find_spec(needed.replace("-", "_")) is not None:
        return None
    more = " protobuf" if needed == "sentencepiece" and find_spec("google.protobuf") is None else ""
    return f"needs a package that is not installed: pip install {needed}{more}"


def _package_of_file(folder: Path) -> str | None:
    """Of tokenizers that only another package reads. transformers asks for tiktoken where sentencepiece is what is missing."""
    if (folder / "tokenizer.json").is_file():
        return None
    for file in ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"):
        if (folder / file).is_file():
            with (folder / file).open("rb") as opened:
                first = opened.readline(1000)
            return "tiktoken" if re.fullmatch(rb"[A-Za-z0-9+/]+=* \d+\r?\n?", first) else "sentencepiece"
    return None
