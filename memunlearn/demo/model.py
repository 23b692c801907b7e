"""The demo's model and paragraphs: built at first use, kept in the user's cache directory."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from memunlearn.demo.corpus import DemoCorpus, assign_roles, cut_paragraphs, text_hash, topics, train_tokenizer
from memunlearn.errors import UserError
from memunlearn.files.writing import remove_leftovers, replacing_folder
from memunlearn.models.loading import LoadedModel, ModelSource
from memunlearn.paragraphs.beginnings import Bos
from memunlearn.paragraphs.download import cache_root
from memunlearn.paragraphs.given_files import Paths
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.paragraphs.sources import FileSource, LoadedParagraphs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Raised whenever the way the demo is built changes, so that an older cache is not taken for a new one.
BUILD = 1
CORPUS = "corpus.safetensors"
# How the origin of a row begins that the model was never shown.
UNSEEN = "demo unseen:"

WHAT_IT_IS = (
    "The demo is a test of the software: a small model that was made to memorize. It is no evidence about where larger models "
    "memorize, rare-token heads, which method is best, or robustness."
)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Everything that decides what the demo is.

    memorized, background, unseen: numbers of rows that the model is shown again and again, now and then, and never. `seen`
    of the background rows are the demo's non-memorized paragraphs, beside the unseen ones: text that was trained on, but is
    not recited.

    steps: training steps of memorized_batch memorized and background_batch other rows. The text is cut into
    prefix_length + continuation_length tokens of a vocabulary of its own. width: hidden size D.

    oracle: whether what was unlearned is compared with oracles (`demo.oracle`); the demo itself is the same.
    """

    memorized: int = 64
    background: int = 450
    seen: int = 120
    unseen: int = 180
    prefix_length: int = 50
    continuation_length: int = 50
    vocabulary: int = 2048
    layers: int = 4
    width: int = 128
    heads: int = 4
    steps: int = 480
    memorized_batch: int = 28
    background_batch: int = 16
    seed: int = 0
    oracle: bool = False

    def __post_init__(self) -> None:
        least = {"seen": 0, "unseen": 3, "vocabulary": 300, "layers": 2, "seed": 0}
        for name, value in self._settings().items():
            if value < least.get(name, 1):
                setting = name if name in ("prefix_length", "continuation_length") else f"demo.{name}"
                raise UserError(f"{setting}={value} is too small for the demo: set {least.get(name, 1)} or more")
        if self.seen > self.background:
            raise UserError(f"demo.seen={self.seen} of demo.background={self.background} rows: set no more than there are")
        if self.layers % 2 or self.width % self.heads:
            raise UserError("the demo needs an even demo.layers and a demo.width divisible by demo.heads")
        if self.prefix_length + self.continuation_length > 256:
            raise UserError("the demo's model reads 256 tokens: prefix_length + continuation_length must be 256 or less")

    def key(self) -> str:
        """Of the cache entry: changes with every setting but `oracle`, the text of this Python, and what computes."""
        libraries = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
        everything = {"build": BUILD, "text": text_hash(), "libraries": libraries, **self._settings()}
        return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def size(self) -> tuple[int, int, int, int]:
        """vocabulary, layers, width, heads."""
        return self.vocabulary, self.layers, self.width, self.heads

    @property
    def rows_a_step(self) -> tuple[int, int]:
        """Memorized and background rows."""
        return self.memorized_batch, self.background_batch

    def _settings(self) -> dict[str, int]:
        """What decides what the demo is."""
        return {name: value for name, value in asdict(self).items() if name != "oracle"}

    def bytes_at_least(self) -> int:
        """Of its weights on disk (fp32): embeddings of tokens and of 256 positions, and twelve D x D matrices a layer."""
        return 4 * self.width * (self.vocabulary + 256 + 12 * self.layers * self.width)


def demo_directory(demo: Demo) -> Path:
    """Where the demo lies, built if it is not there: a plain checkpoint with its tokenizer, and corpus.safetensors.

    Raises UserError as `built_once` does.
    """
    return built_once(cache_root() / f"demo-{demo.key()}", demo, lambda place: _build(demo, place))


def built_once(place: Path, demo: Demo, build: Callable[[Path], None]) -> Path:
    """The folder, made by build(place) if it is not there: a checkpoint as large as the demo's.

    Several processes may ask at once: one builds, the others wait. Raises UserError if it cannot be built there.
    """
    if place.is_dir():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(place.parent, depth=0)
        if shutil.disk_usage(place.parent).free < demo.bytes_at_least():
            raise OSError("no room is left on its disk")
        with FileLock(f"{place}.lock"):
            if not place.is_dir():
                build(place)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"cannot write the demo's model to {place.parent}: {error}; set MEMUNLEARN_CACHE to a writable folder"
        ) from error
    return place


def _build(demo: Demo, place: Path) -> None:
    from memunlearn.demo.training import train_demo_model

    print(
        f"building the demo's model, once: {demo.steps} steps on the documentation topics of this Python -> {place}", flush=True
    )
    # Begun before the work, so that a cache that cannot be written is told at once.
    with replacing_folder(place) as temporary:
        texts = topics()
        tokenizer = train_tokenizer(texts, demo.vocabulary)
        windows = cut_paragraphs(texts, tokenizer, demo.prefix_length + demo.continuation_length)
        corpus = assign_roles(windows, demo.memorized, demo.background, demo.unseen, demo.seed)
        rows = {"memorized": corpus.memorized, "unseen": corpus.unseen, "background": corpus.background}
        save_file(rows, temporary / CORPUS)
        tokenizer.save_pretrained(temporary)
        model = train_demo_model(corpus, demo.size, demo.rows_a_step, demo.steps, demo.seed)
        model.save_pretrained(temporary)


def demo_rows(demo: Demo) -> DemoCorpus:
    """The demo's rows by the role that they had while its model was trained."""
    path = demo_directory(demo) / CORPUS
    try:
        return DemoCorpus(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): remove {path.parent}, and the demo is built again") from error


@dataclass(frozen=True)
class DemoModelSource:
    """model=demo."""

    demo: Demo

    def load(self) -> LoadedModel:
        """Builds the demo at first use."""
        directory = demo_directory(self.demo)
        return ModelSource(str(directory)).load()


@dataclass(frozen=True)
class DemoSource:
    """paragraphs=demo: memorized, seen and unseen rows, one corpus to be split by EM; or `path`, a corpus of the user's own."""

    demo: Demo
    path: Paths | None = None
    column: str | None = None
    bos: Bos = "auto"

    def check(self) -> None:
        """What can be told before the model is there. Raises UserError as `load` does."""
        if self.path is not None:
            self._own().check()

    def load(self, tokenizer: PreTrainedTokenizerBase | None = None) -> LoadedParagraphs:
        """Builds the demo at first use."""
        if self.path is not None:
            return self._own().load(tokenizer)
        rows = demo_rows(self.demo)
        roles = {"memorized": rows.memorized, "seen": rows.background[: self.demo.seen], "unseen": rows.unseen}
        corpus = concatenate(
            [
                ParagraphSet(ids, self.demo.prefix_length, tuple(f"demo {role}:{row}" for row in range(len(ids))))
                for role, ids in roles.items()
            ]
        )
        counts = ", ".join(f"{len(ids)} {role}" for role, ids in roles.items())
        return LoadedParagraphs(description=f"demo: {counts} rows", corpus=corpus)

    def _own(self) -> FileSource:
        return FileSource(
            prefix_length=self.demo.prefix_length,
            continuation_length=self.demo.continuation_length,
            path=self.path,
            column=self.column,
            bos=self.bos,
        )
