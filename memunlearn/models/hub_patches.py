"""A patch by its name on the Hugging Face Hub, where `memunlearn push` put it: `OWNER/NAME`, or `OWNER/NAME@REVISION`."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

from memunlearn.errors import UserError, reason_of
from memunlearn.paragraphs.row_file import ROWS
from memunlearn.paths import expanded

PATCH = "patch.safetensors"
HUB = "hub://"

_NAME = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")


def located_patch(name: str | os.PathLike[str]) -> Path:
    """The file of a patch: a path here, else the name of a repository on the Hub, whose files are fetched once into its cache.

    A path that is there wins over a name; `hub://OWNER/NAME` is a name whatever is here. What is neither is handed on as a
    path. Raises UserError where the repository cannot be reached, or has no patch.
    """
    text = os.fspath(name) if isinstance(name, os.PathLike) else str(name)
    path = expanded(text)
    named = _NAME.fullmatch(text.removeprefix(HUB))
    if text.startswith(HUB):
        if named is None:
            raise UserError(f"{text} is no name on the Hub: write {HUB}OWNER/NAME or {HUB}OWNER/NAME@REVISION")
    elif named is None or path.exists() or path.suffix == ".safetensors":
        return path
    return _fetched(named["repository"], named["revision"])


@cache
def _fetched(repository: str, revision: str | None) -> Path:
    """The patch in the Hub's cache; beside it the run's rows, where they were shared as well."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    def fetch(file: str) -> Path:
        return Path(hf_hub_download(repository, file, revision=revision))

    called = repository if revision is None else f"{repository}@{revision}"
    try:
        patch = fetch(PATCH)
        try:
            fetch(ROWS)
        except EntryNotFoundError:
            pass  # the rule: rows are ids of the texts, and stay with whoever forgot them
    except RevisionNotFoundError as error:
        raise UserError(
            f"{called}: the Hub has no such revision of {repository}: give one of its branches or commits"
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{called}: there is no such file here, and no such model on the Hub, or not for you: check the name, and log in "
            "where it is private (hf auth login)"
        ) from error
    except RemoteEntryNotFoundError as error:  # not that of a file which no cache has while the Hub is out of reach
        raise UserError(
            f"{called}: this model on the Hub has no {PATCH}: give one that memunlearn push made, or the path of a patch"
        ) from error
    except Exception as error:  # HTTP clients and file systems have errors of their own
        raise UserError(
            f"{called}: there is no such file here, and it cannot be fetched from the Hub ({reason_of(error)}): check the name "
            "and the network, or give the path of a run's patch.safetensors"
        ) from error
    return patch
