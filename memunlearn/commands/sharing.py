"""What of a run goes to the Hugging Face Hub, and sending it: never a text unless that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memunlearn.commands.sweep_folder import RESULT
from memunlearn.errors import UserError, reason_of
from memunlearn.files.reading import parse_json
from memunlearn.models.hub_patches import PATCH
from memunlearn.paragraphs.row_file import ROWS
from memunlearn.reporting.model_card import Shared, base_on_the_hub, model_card
from memunlearn.reporting.run_page import REPORT
from memunlearn.results.shape import check_result

CARD, CONFIG, CHECKPOINT = "README.md", "config.yaml", "model"
TEXTS = (ROWS, REPORT)
OF_TEXTS = "texts"
"""What result.json calls its list of the texts that were named to be forgotten."""
FEW = 5


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """name: OWNER/NAME. files: what goes there, by its name there: a file here, or its content. notes: what to know before."""

    name: str
    files: Mapping[str, Path | bytes]
    notes: tuple[str, ...]

    @property
    def card(self) -> str:
        """The model card."""
        content = self.files[CARD]
        return content.decode() if isinstance(content, bytes) else content.read_text("utf-8")

    def lines(self) -> Iterator[str]:
        """What there is to see before anything is sent."""
        yield f"{self.name}: {len(self.files)} files"
        for file, content in self.files.items():
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            yield f"  {file}  {size:,} bytes"
        yield from self.notes


def parcel(run: Path, name: str, *, license: str, checkpoint: bool, base_model: str | None, with_texts: bool) -> Parcel:
    """What is to be sent of a run's folder.

    Raises UserError for a folder that is no finished run, a run without the file that is asked for, and names that the Hub
    does not take.
    """
    import yaml

    from memunlearn.models.patches import load_patch

    for called in (name, *([base_model] if base_model else [])):
        _check_name(called)
    result = _result(run)
    if not (run / PATCH).is_file():
        raise UserError(
            f"{run}: has no {PATCH}: a run one paragraph at a time leaves a patch a trial (patches/), and none that stands for "
            "the run; share a joint run"
        )
    patch = load_patch(run / PATCH)
    shared = Shared(
        name=name,
        license=license,
        is_patch=not checkpoint,
        base=base_model or _base(result),
        base_fingerprint=patch.base_fingerprint,
        k=patch.k,
        dtype=_dtype(run / CHECKPOINT) if checkpoint else None,
    )
    files: dict[str, Path | bytes] = {CARD: model_card(result, shared).encode()}
    files |= _checkpoint_files(run) if checkpoint else {PATCH: run / PATCH}
    files |= {
        RESULT: _sent_result(run, result, with_texts),
        CONFIG: yaml.safe_dump(result["config"], sort_keys=False, allow_unicode=True).encode(),
    }
    if with_texts:
        files |= {file: run / file for file in TEXTS if (run / file).is_file()}
    return Parcel(name=name, files=files, notes=tuple(_notes(result, shared, with_texts)))


def upload(sent: Parcel, *, public: bool) -> str:
    """Sends it in one commit, to a repository that is made for it where there is none; the address of the commit.

    Raises UserError where the Hub does not take it, and where the repository is public and should not be.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    hub = HfApi()
    try:
        try:
            if not hub.model_info(sent.name).private and not public:
                raise UserError(f"{sent.name} is there already, for everybody to see: add --public, or give another name")
        except RepositoryNotFoundError:
            hub.create_repo(sent.name, private=not public)
        operations = [
            CommitOperationAdd(path_in_repo=file, path_or_fileobj=content if isinstance(content, bytes) else str(content))
            for file, content in sent.files.items()
        ]
        return str(hub.create_commit(sent.name, operations, commit_message="memunlearn push").commit_url)
    except UserError:
        raise
    except Exception as error:  # HTTP clients and file systems have errors of their own
        raise UserError(
            f"{sent.name} was not sent ({reason_of(error)}): check the network, that you are logged in (hf auth login) and "
            "that you may write there"
        ) from error


def _result(run: Path) -> dict[str, Any]:
    """The run's result.json, of a run that is complete."""
    if not run.is_dir():
        raise UserError(f"{run}: no such folder: give the folder of a finished run of train.py")
    if not (run / RESULT).is_file():
        unfinished = "an unfinished run: finish it with resume=true" if (run / "checkpoints").is_dir() else "no finished run"
        raise UserError(f"{run}: has no {RESULT}, so it is {unfinished}; give the folder of a finished run of train.py")
    try:
        result = parse_json((run / RESULT).read_text("utf-8"))
        if not isinstance(result, dict) or not isinstance(result.get("config"), dict):
            raise ValueError("it has no config")
        check_result(result)
        if not isinstance(result.get("before"), dict) or not isinstance(result.get("after"), dict):
            raise ValueError("it has no before and after")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{run / RESULT} cannot be read ({error}): copy the run's folder again") from error
    return result


def _base(result: Mapping[str, Any]) -> str | None:
    """The base model's name on the Hub; a folder of that name here is no name there."""
    name = base_on_the_hub(result)
    return None if name is None or Path(name).exists() else name


def _sent_result(run: Path, result: Mapping[str, Any], with_texts: bool) -> Path | bytes:
    """The file itself; without the names of texts, and what else the user's files say of them, where it has these."""
    if with_texts or not result.get(OF_TEXTS):
        return run / RESULT
    return json.dumps({key: value for key, value in result.items() if key != OF_TEXTS}, indent=2).encode()


def _checkpoint_files(run: Path) -> dict[str, Path | bytes]:
    folder = run / CHECKPOINT
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{run}: has no checkpoint in {CHECKPOINT}/: train with save_model=true, or make it with "
            f"memunlearn apply --base BASE --patch {run / PATCH} --out {folder}"
        )
    found = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != CARD]
    return {file.relative_to(folder).as_posix(): file for file in found}


def _dtype(folder: Path) -> str | None:
    """Of the checkpoint's weights, as its config says."""
    try:
        config = parse_json((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    said = (config.get("dtype") or config.get("torch_dtype")) if isinstance(config, dict) else None
    return said if isinstance(said, str) else None


def _check_name(name: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
        if name.count("/") != 1:
            raise HFValidationError("it has no owner")
    except HFValidationError as error:
        raise UserError(f"{name} is no name on the Hub ({error}): write OWNER/NAME") from error


def _notes(result: Mapping[str, Any], shared: Shared, with_texts: bool) -> Iterator[str]:
    if result.get("stopped_because") == "nan":
        yield "warning: this run diverged: its loss was no longer a number; the card says so"
    if with_texts:
        yield f"warning: {', '.join(TEXTS)} hold the texts that the run used, those to be forgotten among them"
    if not with_texts and (texts := result.get(OF_TEXTS)):
        yield f"note: {RESULT} goes without the names of {len(texts)} texts, and without what their files say of them"
    if places := [f"{name}={value}" for name, value in _strings(result["config"], "") if _is_local(value)]:
        shown = ", ".join(places[:FEW]) + ", ..." * (len(places) > FEW)
        yield f"note: {RESULT}, {CONFIG} and the patch name places on this machine: {shown}"
    if shared.base is None:
        yield "note: the base model has no name on the Hub here: give it with --base-model OWNER/NAME, so that others find it"


def _strings(node: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _strings(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value, place)
    elif isinstance(node, str):
        yield place, node


def _is_local(value: str) -> bool:
    return value.startswith(("/", "~", "./", "../")) or ("/" in value and Path(value).exists())
