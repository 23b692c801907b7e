"""Which folder of a sweep belongs to which job: found by the content of its config, not by its number.

Hydra numbers jobs by their place in the list of this call. When the list was changed, number 3 is another job than before: so
a folder is claimed by a job's content, and a job whose number is taken gets the next free one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from omegaconf import Container, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from memunlearn.commands.claims import one_at_a_time
from memunlearn.commands.input_files import input_digests
from memunlearn.files.reading import parse_json
from memunlearn.files.writing import finite_or_null, temporary_folder
from memunlearn.passwords import hide_passwords
from memunlearn.results.old_names import config_today

RESULT = "result.json"
EVALUATION = "evaluation.json"
LOCALIZATION = "localization.json"
FOUND = "find.json"
TAKEDOWN = "takedown.json"
ERROR = "error.json"
CLAIM = ".content"
# Settings that say where things are kept or how a run was called, but not what it computes or leaves in its folder.
NOT_CONTENT = ("resume", "overwrite", "allow", "cache", "paragraphs.cache_dir")


def content(config: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved config as result.json would hold it today, without what is in NOT_CONTENT: equal for equal jobs."""
    kept = hide_passwords(config_today(config))
    for name in NOT_CONTENT:
        *groups, key = name.split(".")
        place: Any = kept
        for group in groups:
            place = place.get(group) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(key, None)
    plain: dict[str, Any] = json.loads(json.dumps(finite_or_null(kept), default=str))
    return plain


def content_hash(config: Mapping[str, Any], inputs: Mapping[str, str] | None = None) -> str:
    """inputs: `input_digests` of the files that the config names, as they were read; None: as they are now."""
    read = input_digests(config) if inputs is None else inputs
    described = content(config) | ({"inputs": dict(read)} if read else {})
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


def finished_job(sweep: Path, config: Mapping[str, Any]) -> Path | None:
    """The folder in this sweep with a complete run of this (resolved) config; None if there is none."""
    return _finished(sweep, content_hash(config))


def holds_another_result(directory: Path, config: Mapping[str, Any]) -> bool:
    """Whether this folder has the result of another config."""
    return _result_hash(directory) not in (None, content_hash(config))


def claim_folder(sweep: Path, number: int, wanted: str) -> str:
    """The name of the job folder for the content with this hash: its own, finished or not, else the first free number from
    `number` on, which is then taken (also for other processes)."""
    with one_at_a_time(sweep):  # else two that begin together would both find no folder of theirs
        return _claim_folder(sweep, number, wanted)


def _claim_folder(sweep: Path, number: int, wanted: str) -> str:
    own = _finished(sweep, wanted) or next((folder for folder in _folders(sweep) if _claim(folder) == wanted), None)
    if own is not None:
        return own.name
    with temporary_folder(sweep / "claim") as claimed:
        (claimed / CLAIM).write_text(wanted)
        for free in count(number):
            try:
                os.rename(claimed, sweep / str(free))  # fails if it is there with something in it
                return str(free)
            except OSError:
                if not (sweep / str(free)).exists():
                    raise
    raise AssertionError("numbers do not end")


def job_folder(number: int, sweep: str, *, _root_: Container) -> str:
    """The name of this job's folder in the sweep: ${job_folder:NUMBER,SWEEP}."""
    given = OmegaConf.select(_root_, "hydra.runtime.output_dir", default=None)
    if given is not None:  # asked again, from inside the job
        return Path(given).name
    config = OmegaConf.masked_copy(_root_, [key for key in _root_ if key != "hydra"])  # type: ignore[arg-type]
    try:
        settings = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:  # the job will fail over it, in a folder of its own
        settings = OmegaConf.to_container(config, resolve=False)
    return claim_folder(Path(sweep), number, content_hash(settings))  # type: ignore[arg-type]


def _folders(sweep: Path) -> Iterator[Path]:
    yield from sorted(path for path in sweep.iterdir() if path.is_dir() and not path.name.startswith("."))


def _finished(sweep: Path, wanted: str) -> Path | None:
    if not sweep.is_dir():
        return None
    return next((folder for folder in _folders(sweep) if _result_hash(folder) == wanted), None)


def _claim(folder: Path) -> str | None:
    """The hash that claimed this folder; None where its result says otherwise (it was copied there)."""
    claim = folder / CLAIM
    return claim.read_text("utf-8", "replace") if claim.is_file() and _result_hash(folder) is None else None


def _result_hash(folder: Path) -> str | None:
    """Of the config in result.json and the files that it was made from; None without a readable result."""
    try:
        result = parse_json((folder / RESULT).read_text("utf-8"))
        return content_hash(result["config"], result.get("inputs"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
