"""Rows of Hugging Face data sets, as `datasets` hands them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from memunlearn.errors import UserError, reason_of

DataFiles = str | Sequence[str] | Mapping[str, str | Sequence[str]]


def documents(
    name: str,
    split: str | None,
    *,
    where: str,
    advice: str,
    subset: str | None = None,
    revision: str | None = None,
    data_files: DataFiles | None = None,
    streaming: bool = True,
) -> Iterator[Mapping[str, object]]:
    """Each row of one split as column -> value.

    name: OWNER/NAME on the Hub, a folder with the same files, or a packaged builder (json, csv, parquet) with data_files.
    where, advice: what a mistake is said to be in, and what to do about it.
    Raises UserError where the data set cannot be opened or read on.
    """
    import datasets

    try:
        yield from datasets.load_dataset(
            name, subset, split=split, revision=revision, data_files=data_files, streaming=streaming
        )
    except Exception as error:  # the errors of HTTP clients, file systems and parsers all come through here
        raise UserError(f"data set {where} cannot be read ({reason_of(error)}): {advice}") from error
