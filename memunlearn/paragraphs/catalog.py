"""The public paragraph files that memunlearn knows by name: where they lie, at which commit, with which checksum.

Source: the repositories of "Localizing Paragraph Memorization in Language Models" (Stoehr et al., 2024) and of the
extraction benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from memunlearn.errors import UserError
from memunlearn.paragraphs.download import fetch

GITHUB = "https://raw.githubusercontent.com"
PREFIX_LENGTH = 50
CONTINUATION_LENGTH = 50


@dataclass(frozen=True)
class CatalogFile:
    """A file of a public repository at one commit; exactly one of the two checksums is known."""

    repository: str
    commit: str
    path: str
    sha256: str | None = None
    git_blob_sha1: str | None = None


def _pile(name: str, sha256: str | None = None, git_blob_sha1: str | None = None) -> CatalogFile:
    return CatalogFile(
        "googleinterns/localizing-paragraph-memorization",
        "79a40888088473908cce99542d132ef209877b1d",
        f"paragraphs/gpt-neo-125M/preds/{name}",
        sha256,
        git_blob_sha1,
    )


def _lm_extraction(name: str, sha256: str) -> CatalogFile:
    return CatalogFile(
        "google-research/lm-extraction-benchmark", "e191cd813090137b53dc6f0543b2edfec6f89a44", f"datasets/{name}", sha256
    )


PILE_BINS = {
    "0-10": _pile("0_10_preds.pt", git_blob_sha1="45f8c597871b6c9add8f316830fd84b85186a988"),
    "11-29": _pile("11_29_preds.pt", sha256="58203de5f43684154ff21ffc301500d5e9e06e395ea71d6f6dd60069338281f9"),
    "30-49": _pile("30_49_preds.pt", sha256="33043ff15f47b3a705d77bd5d78a3d88f95116cf3137756aab3b0fa7416939c6"),
    "50": _pile("50_50_preds.pt", sha256="6d312a681d9d7dba3b2b61c25519bf380eec6ec119451263fb8b76c268393141"),
}
"""The paper's files for GPT-Neo 125M, [12422, 436, 141, 442 rows, 100] int64, by the EM bin that each file stands for."""

LM_EXTRACTION = {
    "prefix": _lm_extraction("val_prefix.npy", "b270fcb1d441bae4314a32f28eeb285866455dc0d591d45d481924e919d5c20b"),
    "continuation": _lm_extraction("val_suffix.npy", "8ef968b406cd54202ff4835c300a95b4e979b39a567a4e7426bf5c0be274cfa7"),
}
"""The extraction benchmark's validation rows: true Pile text, [1000, 50] uint16 each."""


def fetch_catalog_file(file: CatalogFile, base_url: str = GITHUB, cache_dir: Path | None = None) -> Path:
    """The path of a verified local copy. Raises UserError as `fetch` does."""
    url = f"{base_url.rstrip('/')}/{file.repository}/{file.commit}/{file.path}"
    return fetch(url, sha256=file.sha256, git_blob_sha1=file.git_blob_sha1, cache_dir=cache_dir)


def check_lengths(name: str, prefix_length: int, continuation_length: int) -> None:
    """Raises UserError unless the lengths are those that every file of the catalog has."""
    if (prefix_length, continuation_length) != (PREFIX_LENGTH, CONTINUATION_LENGTH):
        raise UserError(
            f"paragraphs={name} has {PREFIX_LENGTH} + {CONTINUATION_LENGTH} tokens a paragraph, "
            f"not {prefix_length} + {continuation_length}: "
            f"leave paragraphs.prefix_length and paragraphs.continuation_length at {PREFIX_LENGTH} and {CONTINUATION_LENGTH}"
        )
