"""find: which parts of a person's own texts a model recites, wherever in them they stand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.call import Call
from memunlearn.commands.environment import environment
from memunlearn.commands.found_files import SPANS, WINDOWS, check_windows, scored_windows, write_spans, write_windows
from memunlearn.commands.input_files import changed_inputs, input_digests
from memunlearn.commands.inputs import check_fits, choose_device, is_demo, load_configured_model, move, quiet_libraries
from memunlearn.commands.kept_config import shown
from memunlearn.commands.measurement_store import open_store, print_reused
from memunlearn.commands.recited_texts import search, search_of
from memunlearn.commands.sampling import sampling_of
from memunlearn.commands.settings import check_settings
from memunlearn.commands.sweep_folder import FOUND, content
from memunlearn.commands.text_entries import text_entries
from memunlearn.demo.model import WHAT_IT_IS
from memunlearn.errors import UserError
from memunlearn.files.reading import parse_json
from memunlearn.files.writing import remove_leftovers, write_json
from memunlearn.models.baking import bake
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.loading import LoadedModel, ModelSource
from memunlearn.models.patches import apply_patch, check_base, load_patch
from memunlearn.models.text_config import context_length, longest_text
from memunlearn.models.tokenizer_loading import load_tokenizer
from memunlearn.paragraphs.columns import text_or_ids
from memunlearn.paragraphs.given_files import ARRAYS, given_files
from memunlearn.paragraphs.readers import ReadResult, check_file, read_paragraphs
from memunlearn.paragraphs.table_files import open_column
from memunlearn.paragraphs.windows import Cutting
from memunlearn.paths import expanded
from memunlearn.recitation.find import Reading, screen_recall
from memunlearn.reporting.find_page import PAGE, write_find_page
from memunlearn.reporting.found_table import print_found
from memunlearn.reporting.found_texts import FoundText

FILES = (FOUND, SPANS, WINDOWS, PAGE)


@dataclass(frozen=True)
class Found:
    """directory: where find.json and the other files lie. result: the content of find.json."""

    directory: Path
    result: dict[str, Any]


def find(cfg: DictConfig, directory: Path, call: Call) -> Found:
    """Searches every text for what the model recites of it, and writes what was found.

    A complete search of the same texts with the same settings is not done again. Raises UserError for everything that the user
    can mend, nearly all of it before the model is loaded.
    """
    check_settings(cfg, call)
    file = _patch_file(cfg)
    patched = None if file is None else {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    if (finished := _finished(cfg, directory, patched)) is not None:
        print(f"{directory} is complete already, with the same settings: overwrite=true would do it again")
        return finished
    for stale in FILES:
        (directory / stale).unlink(missing_ok=True)
    remove_leftovers(directory)
    sampling = sampling_of(cfg)
    patch = None if file is None else load_patch(file)
    quiet_libraries()
    with _settings_by_their_names_here():
        check_texts(cfg)
    if cfg.windows is not None:
        check_windows(expanded(str(cfg.windows)))
    _check_model(cfg)
    device = choose_device(cfg.accelerator)
    place = environment(device) | {"command": call.line}
    inputs = input_digests(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    loaded = load_configured_model(cfg)
    _check_length(cfg, context_length(loaded.model), loaded.name)
    with _settings_by_their_names_here():
        read = _read(cfg, loaded)
    move(loaded.model, device, loaded.name)
    measurements = BaseMeasurements.of(loaded.model, open_store(cfg.cache))
    with _settings_by_their_names_here():
        how = search_of(cfg, loaded, read.before, batch_size=cfg.batch_size, least=cfg.least, sampling=sampling)
    if patch is not None:
        check_base(patch, measurements.fingerprint)
        apply_patch(loaded.model, patch)
        # Its keys are of the model without the patch: nothing is kept, nor taken from what is kept.
        measurements = replace(measurements, store=None, fingerprint=fingerprint(bake(loaded.model)))
    also = None if cfg.windows is None else scored_windows(expanded(str(cfg.windows)), read.texts)
    readings = search(measurements, read.texts, how, "texts", also)
    entries = text_entries(readings)
    recall = None
    if how.windows.stride == 1:
        found, of = screen_recall(readings, how.least)
        recall = {"found": found, "of": of}
    result = {
        "schema": 1,
        "config": shown(cfg),
        "environment": place,
        "seed": cfg.seed,
        "date": datetime.now().astimezone().date().isoformat(),
        "inputs": inputs,
        "model": {"name": loaded.name, "fingerprint": measurements.fingerprint},
        "patch": patched,
        "prefix_length": cfg.prefix_length,
        "continuation_length": cfg.continuation_length,
        "min_prefix": how.windows.min_prefix,
        "needed": how.windows.needed(len(read.before)),
        "least": how.least,
        "before": len(read.before),
        "beginning": read.beginning,
        "recall": recall,
        "notes": [WHAT_IT_IS] * is_demo(cfg),
        "texts": entries,
    }
    print_reused(measurements.store)
    _write(directory, result, readings, loaded)
    print_found(result)
    print(f"wrote {', '.join(FILES)} to {directory}")
    return Found(directory, result)


def check_texts(cfg: DictConfig) -> None:
    """Raises UserError for texts and settings that cannot be searched, as far as that can be told without a tokenizer."""
    if cfg.texts is None:
        raise UserError("texts is not set: give texts=FOLDER, or texts=FILE or texts=[A.txt,B.csv], what is to be searched for")
    for name in ("prefix_length", "continuation_length"):
        if cfg[name] < 1:
            raise UserError(f"{name}={cfg[name]} must be 1 or more")
    for name, most in (("min_prefix", cfg.prefix_length), ("least", cfg.continuation_length)):
        value = cfg[name]
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
            raise UserError(f"{name}={value} must be a whole number from 1 to {most}, or null")
    if cfg.stride == "first":
        raise UserError("stride=first looks at the beginning of each text only: use auto, or 1 for every window")
    _cutting(cfg).windows(cfg.prefix_length, cfg.continuation_length)
    given = _given(cfg)
    check_file(given, cfg.prefix_length, cfg.continuation_length, cfg.column)
    for file in given_files(given).files:
        if file.kind in ARRAYS or not text_or_ids(open_column(file, cfg.column))[0]:
            raise UserError(
                f"{file.path}: holds rows of ids, each a paragraph: score them with evaluate.py paragraphs=files "
                "paragraphs.path=FILE; find searches texts"
            )


def _cutting(cfg: DictConfig) -> Cutting:
    return Cutting("forget", cfg.stride, cfg.min_prefix)


def _given(cfg: DictConfig) -> Any:
    plain = OmegaConf.to_container(cfg.texts) if OmegaConf.is_config(cfg.texts) else str(cfg.texts)
    if isinstance(plain, Mapping):
        raise UserError(f"texts={plain} must be a file, a folder or a list of them, [A.txt,FOLDER]")
    return plain


def _read(cfg: DictConfig, loaded: LoadedModel) -> ReadResult:
    read = read_paragraphs(
        _given(cfg),
        cfg.prefix_length,
        cfg.continuation_length,
        tokenizer=loaded.tokenizer,
        column=cfg.column,
        bos=cfg.bos,
        cutting=replace(_cutting(cfg), stride="auto"),
    )
    print(f"texts: {len(read.texts)}, {sum(map(len, read.texts)):,} tokens", flush=True)
    if read.beginning is not None:
        print(read.beginning, flush=True)
    if len(read.paragraphs):
        check_fits(loaded, read.paragraphs)
    return read


@contextmanager
def _settings_by_their_names_here() -> Iterator[None]:
    """Errors of readers call a setting by its group, paragraphs; here it stands at the top."""
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).replace("paragraphs.", "")) from error


def _check_model(cfg: DictConfig) -> None:
    """What can be told of the model before its weights are read: whether it reads so many tokens, and has a tokenizer."""
    source = instantiate(cfg.model)
    if hasattr(source, "check"):
        source.check()
    if not isinstance(source, ModelSource):
        return
    name, revision = str(source.name_or_path), None if source.revision is None else str(source.revision)
    _check_length(cfg, longest_text(name, revision), name)
    if load_tokenizer(name, None if source.tokenizer is None else str(source.tokenizer), revision) is None:
        raise UserError(f"{name} has no tokenizer, and texts need one: set model.tokenizer=DIR_OR_NAME")


def _check_length(cfg: DictConfig, longest: int | None, name: str) -> None:
    length = cfg.prefix_length + cfg.continuation_length
    if longest is not None and length > longest:
        raise UserError(
            f"windows of {length} tokens are longer than the {longest} that {name} reads: set a smaller prefix_length or "
            "continuation_length"
        )


def _patch_file(cfg: DictConfig) -> Path | None:
    if cfg.patch is None:
        return None
    path = expanded(str(cfg.patch))
    file = path / "patch.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"patch={cfg.patch}: no such file: give a run's patch.safetensors, or its folder")
    return file


def _finished(cfg: DictConfig, directory: Path, patch: Mapping[str, Any] | None) -> Found | None:
    """What lies in the folder already, if it was found with the same settings in the same files."""
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    if cfg.overwrite or any(not (directory / name).is_file() for name in FILES):
        return None
    try:
        result = parse_json((directory / FOUND).read_text("utf-8"))
        same = content(result["config"]) == content(settings) and not changed_inputs(result["inputs"], settings)
        return Found(directory, result) if same and result["patch"] == patch else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(directory: Path, result: dict[str, Any], readings: Sequence[Reading], loaded: LoadedModel) -> None:
    """find.json comes last: where it is, everything is."""
    texts = [_found_text(entry, reading, loaded.tokenizer) for entry, reading in zip(result["texts"], readings, strict=True)]
    show = bool(result["config"]["show_texts"])
    write_windows(directory / WINDOWS, readings, result["continuation_length"], result["least"])
    write_spans(directory / SPANS, texts, result["continuation_length"], show_texts=show)
    write_find_page(directory / PAGE, result, texts)
    write_json(directory / FOUND, result)


def _found_text(entry: Mapping[str, Any], reading: Reading, tokenizer: Any) -> FoundText:
    text = reading.text
    words = [
        tokenizer.decode(text.ids[span.start : span.end].tolist())
        if text.characters is None
        else text.content[slice(*text.span(span.start, span.end))]
        for span in reading.spans
    ]
    return FoundText(entry, text.content, words)
