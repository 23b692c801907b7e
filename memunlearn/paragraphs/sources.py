"""Where paragraphs come from: local files, a Hugging Face data set, or the public catalog. One config group, one dataclass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from memunlearn.errors import UserError
from memunlearn.paragraphs.beginnings import Bos, Tokenizer, beginning_of
from memunlearn.paragraphs.catalog import GITHUB, LM_EXTRACTION, PILE_BINS, check_lengths, fetch_catalog_file
from memunlearn.paragraphs.columns import Column, Row, choose_column, text_or_ids
from memunlearn.paragraphs.data_sets import DataFiles, documents
from memunlearn.paragraphs.given_files import paths_in_short
from memunlearn.paragraphs.id_rows import id_rows
from memunlearn.paragraphs.loaded import LoadedParagraphs as LoadedParagraphs
from memunlearn.paragraphs.readers import (
    PathOrPair,
    check_file,
    first_window,
    keep_long_enough,
    read_paragraphs,
    with_tokenizer,
)
from memunlearn.paragraphs.retain_text import RetainText, files_of, retain_text
from memunlearn.paragraphs.text_rows import text_rows, token_texts
from memunlearn.paragraphs.texts import texts_of
from memunlearn.paragraphs.windows import MOST_WINDOWS, Cutting, Stride
from memunlearn.paths import expanded


@dataclass(frozen=True, kw_only=True)
class FileSource:
    """Local files and folders: `path` (one mixed corpus) or sets by name, for `read_paragraphs`.

    retain: files, and the words of `retain_text`, which make `retain_rows` rows each. suspected, suspected_samples: whether and
    how many samples of the model's own text are looked through for rows that seem memorized.
    """

    prefix_length: int
    continuation_length: int
    path: PathOrPair | None = None
    forget: PathOrPair | None = None
    bystander: PathOrPair | None = None
    retain: PathOrPair | None = None
    protected: PathOrPair | None = None
    column: str | None = None
    bos: Bos = "auto"
    stride: Stride = "auto"
    min_prefix: int | None = None
    max_windows: int | None = MOST_WINDOWS
    retain_rows: int = 256
    suspected: bool | None = None
    suspected_samples: int = 1024

    def check(self) -> None:
        """What can be told before a model is loaded. Raises UserError as `load` does."""
        self._to_make()
        for name, path in self._given().items():
            self._cutting(name).windows(self.prefix_length, self.continuation_length)
            check_file(path, self.prefix_length, self.continuation_length, self.column)

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError for settings that do not go together and for unreadable files."""
        given = self._given()
        read = {
            name: read_paragraphs(
                path,
                self.prefix_length,
                self.continuation_length,
                tokenizer=tokenizer,
                column=self.column,
                bos=self.bos,
                cutting=self._cutting(name),
            )
            for name, path in given.items()
        }
        sets = {name: result.paragraphs for name, result in read.items()}
        return LoadedParagraphs(
            description="; ".join(f"{name}: {paths_in_short(path)}, {len(sets[name])} rows" for name, path in given.items()),
            corpus=sets.get("path"),
            forget=sets.get("forget"),
            bystander=sets.get("bystander"),
            retain=sets.get("retain"),
            protected=sets.get("protected"),
            dropped={"corpus" if name == "path" else name: result.dropped for name, result in read.items() if result.dropped},
            beginning=next((result.beginning for result in read.values() if result.beginning), None),
            asked=read["forget"] if "forget" in read and read["forget"].texts else None,
            to_make=self._to_make(),
        )

    def _to_make(self) -> RetainText | None:
        others = [name for name in ("path", "bystander", "protected") if getattr(self, name) is not None]
        named = f"paragraphs.{others[0]} is given" if others else None
        if self.forget is None and named is None:
            named = "no paragraphs.forget is"
        return retain_text(self.retain, self.retain_rows, self.suspected, self.suspected_samples, named)

    def _cutting(self, name: str) -> Cutting:
        return Cutting(name, self.stride, self.min_prefix, self.max_windows)

    def _given(self) -> dict[str, PathOrPair]:
        """The files by setting."""
        named = {"forget": self.forget, "bystander": self.bystander, "retain": self.retain, "protected": self.protected}
        given = [name for name, path in {"path": self.path, **named}.items() if path is not None]
        if "path" in given and len(given) > 1:
            others = ", ".join(f"paragraphs.{name}" for name in given if name != "path")
            raise UserError(
                f"paragraphs.path is one corpus to be split by EM and does not go with {others}: set one or the other"
            )
        files = {"path": self.path, **named, "retain": files_of(self.retain)}
        found = {name: path for name, path in files.items() if path is not None}
        if not found:
            raise UserError(
                "paragraphs=files needs files: set paragraphs.path=CORPUS, "
                "or paragraphs.forget=, paragraphs.bystander=, paragraphs.retain="
            )
        return found


def _text(name: object) -> str | None:
    """A name that may be written as a number."""
    return None if name is None else str(name)


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """A Hugging Face data set, or local files through its packaged builders (name=json, csv or parquet, and data_files).

    max_rows: documents read, from the first (None: all); the first I tokens of each are one paragraph.
    """

    name: str | None
    split: str
    column: str | None
    prefix_length: int
    continuation_length: int
    subset: str | None = None
    revision: str | None = None
    max_rows: int | None = 1000
    data_files: DataFiles | None = None
    streaming: bool = True
    bos: Bos = "auto"

    def check(self) -> None:
        """What can be told before a model is loaded. Raises UserError as `load` does."""
        if not self.name:
            raise UserError(
                "paragraphs=hub needs a data set: set paragraphs.name=OWNER/NAME (and paragraphs.split, paragraphs.column)"
            )

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError where the data set cannot be opened or read, or its column holds neither text nor ids."""
        self.check()
        where = ":".join(str(part) for part in (self.name, self.subset, self.split) if part)
        beginning = None if tokenizer is None else beginning_of(tokenizer, self.bos)
        length = self.prefix_length + self.continuation_length
        column = self._column(where)
        is_text, rows = text_or_ids(column)
        if is_text:
            windows = first_window(self.prefix_length).windows(self.prefix_length, self.continuation_length)
            known, start = with_tokenizer(column, tokenizer, beginning)
            count = windows.tokens_read(len(start.ids))
            part = text_rows(token_texts(texts_of([(column, rows)]), count, known, start, "hub"), windows, start.ids)
        else:
            part = id_rows(column, rows, length)
        read = keep_long_enough([part], self.prefix_length, where, beginning)
        return LoadedParagraphs(
            description=f"Hugging Face data set {where}, {len(read.paragraphs)} rows",
            corpus=read.paragraphs,
            dropped={"corpus": read.dropped} if read.dropped else {},
            beginning=read.beginning,
        )

    def _column(self, where: str) -> Column:
        read = self._documents(where)
        first = next(read, None)
        if first is None:
            raise UserError(f"data set {where} has no rows: choose another paragraphs.split or paragraphs.max_rows")
        name = choose_column(list(first), self.column, f"data set {where}")
        # The stream that was opened to see the first document is read on, the first time.
        opened = [chain([first], read)]

        def rows() -> Iterator[Row]:
            stream = opened.pop() if opened else self._documents(where)
            return (
                Row(None, document.get(name), {key: value for key, value in document.items() if key != name})
                for document in stream
            )

        return Column(where=where, name=name, names=tuple(first), rows=rows)

    def _documents(self, where: str) -> Iterator[Mapping[str, object]]:
        read = documents(
            str(self.name),
            _text(self.split),
            where=where,
            advice="check paragraphs.name, paragraphs.subset, paragraphs.split and the network, "
            "or use a local copy: paragraphs=files paragraphs.path=FILE, "
            "or paragraphs=hub paragraphs.name=parquet (or json) paragraphs.data_files=FILE",
            subset=_text(self.subset),
            revision=_text(self.revision),
            data_files=self.data_files,
            streaming=self.streaming,
        )
        return islice(read, self.max_rows)


@dataclass(frozen=True)
class PileSource:
    """The paper's paragraphs for GPT-Neo 125M. Roles and bins come from the file of origin and are never scored again.

    base_url: where the repositories lie, for a mirror; cache_dir: see `download.fetch`.
    """

    prefix_length: int = 50
    continuation_length: int = 50
    base_url: str = GITHUB
    cache_dir: str | None = None

    def check(self) -> None:
        """Raises UserError for lengths other than 50 + 50."""
        check_lengths("pile", self.prefix_length, self.continuation_length)

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError for lengths other than 50 + 50 and where the files cannot be fetched."""
        self.check()
        cache_dir = expanded(self.cache_dir) if self.cache_dir else None
        files = {label: fetch_catalog_file(file, self.base_url, cache_dir) for label, file in PILE_BINS.items()}
        bins = {
            label: read_paragraphs(file, self.prefix_length, self.continuation_length).paragraphs
            for label, file in files.items()
        }
        return LoadedParagraphs(
            description="the Pile, GPT-Neo 125M's paragraphs of Stoehr et al. 2024 (the continuations appear to be the model's "
            "own output)",
            memorized=bins["50"],
            non_memorized=bins["0-10"],
            bins=bins,
            self_generated=True,
        )


@dataclass(frozen=True)
class LMExtractionSource:
    """The extraction benchmark's validation rows: true Pile text that GPT-Neo 1.3B was trained on; one corpus, split by EM."""

    prefix_length: int = 50
    continuation_length: int = 50
    base_url: str = GITHUB
    cache_dir: str | None = None

    def check(self) -> None:
        """Raises UserError for lengths other than 50 + 50."""
        check_lengths("lm_extraction", self.prefix_length, self.continuation_length)

    def load(self, tokenizer: Tokenizer | None = None) -> LoadedParagraphs:
        """Raises UserError for lengths other than 50 + 50 and where the files cannot be fetched."""
        self.check()
        cache_dir = expanded(self.cache_dir) if self.cache_dir else None
        pair = {key: fetch_catalog_file(file, self.base_url, cache_dir) for key, file in LM_EXTRACTION.items()}
        corpus = read_paragraphs(pair, self.prefix_length, self.continuation_length).paragraphs
        return LoadedParagraphs(description=f"the extraction benchmark's validation rows, {len(corpus)} rows", corpus=corpus)
