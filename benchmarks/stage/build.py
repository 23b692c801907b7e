"""From a request to a stage: text, rows, training, and the folder; goes on where a killed one stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from benchmarks.stage.folder import STAGE, measured, write_account, write_model, write_rows
from benchmarks.stage.recipe import CONTINUATION, LENGTH, PREFIX, Recipe
from benchmarks.stage.rows import StageRows, assign_roles
from benchmarks.stage.texts import own_texts, standard_library
from benchmarks.stage.training import train
from memunlearn.demo.corpus import cut_paragraphs, train_tokenizer
from memunlearn.errors import UserError
from memunlearn.files.reading import read_json
from memunlearn.files.writing import remove_folder, remove_leftovers, write_json
from memunlearn.models.tokenizer_loading import load_tokenizer
from memunlearn.paragraphs.readers import read_paragraphs
from memunlearn.paths import expanded

TRAINING = "training"
"""The folder for what an unfinished training needs; gone in the end."""
REQUEST = "request.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be built. rows: one file, or prefixes and continuations; text: a file or folder; None: this Python's own."""

    size: str
    recipe: Recipe
    seed: int = 0
    rows: Sequence[str] | None = None
    text: str | None = None
    tokenizer: str | None = None
    accelerator: str = "auto"

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"--seed {self.seed} is negative: give 0 or more")
        if self.rows is not None and len(self.rows) > 2:
            raise UserError(f"--rows has {len(self.rows)} files: give one, or prefixes and continuations")
        if self.rows is not None and self.tokenizer is None:
            raise UserError("--rows needs --tokenizer DIR, that of the rows: other text is tokenized with it")
        if self.accelerator == "gpu" and not torch.cuda.is_available():
            raise UserError("--accelerator gpu: PyTorch finds no GPU here: leave it out, or choose --size 30m")
        if self.recipe.needs_gpu and self.accelerator == "auto" and not torch.cuda.is_available():
            raise UserError(
                f"--size {self.size} is for a GPU, and PyTorch finds none here: choose --size 30m, or insist: --accelerator cpu"
            )


def build(request: Request, out: str) -> str:
    """Makes the stage in the folder `out`, and says what it is and where.

    Raises UserError for any mistake, before training begins.
    """
    folder = expanded(out)
    _check_folder(folder)
    tokenizer, rows = _material(request)
    asked = _asked(request, rows)
    if (folder / STAGE).is_file():
        _check_same(folder, read_json(folder / STAGE, "give another --out").get("request"), asked)
        return f"{folder} holds this stage already: see its README.md"
    training = folder / TRAINING
    if (training / REQUEST).is_file():
        _check_same(folder, read_json(training / REQUEST, f"remove {folder}"), asked)
    try:
        write_json(training / REQUEST, asked)
        remove_leftovers(folder)
        counts = ", ".join(f"{len(ids)} {role}" for role, ids in rows.corpus.items())
        print(f"training on {counts} rows and {len(rows.background)} of background -> {folder}", flush=True)
        recipe, tokens = request.recipe, (len(tokenizer), tokenizer.eos_token_id)
        trained = train(rows, tokens, recipe, request.seed, accelerator=request.accelerator, folder=training)
        write_rows(folder, rows, request.seed)
        write_model(folder, trained.model, tokenizer)
        account = {
            "request": asked,
            "steps": trained.steps,
            "seconds": round(trained.seconds, 1),
            "device": trained.device,
            "parameters": sum(weight.numel() for weight in trained.model.parameters()),
            "rows": measured(trained.model, rows),
            "versions": {name: version(name) for name in ("memunlearn", "torch", "transformers", "tokenizers")},
        }
        summary = write_account(folder, account)
        remove_folder(training)
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error}): give another --out, or make room") from error
    return f"{summary} See {folder / 'README.md'}"


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and a stage needs a folder: give another --out")
    ours = (folder / STAGE).is_file() or (folder / TRAINING).is_dir()
    if folder.is_dir() and any(folder.iterdir()) and not ours:
        raise UserError(f"{folder} is not empty and holds no stage: give another --out")


def _material(request: Request) -> tuple[PreTrainedTokenizerFast, StageRows]:
    """The tokenizer, and the rows by role."""
    texts = standard_library(request.recipe.sources) if request.text is None else own_texts(request.text)
    tokenizer = _tokenizer(request, texts)
    windows = cut_paragraphs(texts, tokenizer, LENGTH).reshape(-1, LENGTH)  # [0, 100] where no text is long enough
    if request.rows is None:
        rows = assign_roles(windows, windows[:0], request.recipe, request.seed)
    else:
        rows = assign_roles(_read_rows(request.rows, tokenizer), windows, request.recipe, request.seed)
    return tokenizer, rows


def _tokenizer(request: Request, texts: list[str]) -> PreTrainedTokenizerFast:
    if request.tokenizer is None:
        return train_tokenizer(texts, request.recipe.vocabulary)
    tokenizer: PreTrainedTokenizerFast | None = load_tokenizer(request.tokenizer)
    if tokenizer is None:
        raise UserError(f"--tokenizer {request.tokenizer}: there is no tokenizer in that folder")
    return tokenizer


def _read_rows(files: Sequence[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    path = files[0] if len(files) == 1 else {"prefix": files[0], "continuation": files[1]}
    paragraphs = read_paragraphs(path, PREFIX, CONTINUATION, tokenizer=tokenizer).paragraphs
    paragraphs.check_vocabulary(len(tokenizer))
    return paragraphs.ids


def _asked(request: Request, rows: StageRows) -> dict[str, Any]:
    """What decides the stage."""
    return {"size": request.size, "seed": request.seed, "recipe": asdict(request.recipe), "rows_sha256": rows.sha()}


def _check_same(folder: Path, found: Any, asked: dict[str, Any]) -> None:
    if found != asked:
        raise UserError(f"{folder} holds another stage (size, seed, rows or text differ): give another --out, or remove it")
