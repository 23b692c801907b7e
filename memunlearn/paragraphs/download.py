"""Public files, fetched once, checked always."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import urllib.request
from pathlib import Path

import platformdirs
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from memunlearn.errors import UserError
from memunlearn.files.writing import remove_leftovers, replacing

_TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 18
_LOCAL_COPY = "or use a local copy: paragraphs=files paragraphs.forget=PATH"


def cache_root() -> Path:
    """The folder for everything that memunlearn keeps between runs: $MEMUNLEARN_CACHE, else the user's cache directory.

    Raises UserError where there is neither.
    """
    named = os.environ.get("MEMUNLEARN_CACHE")
    try:
        return Path(named or platformdirs.user_cache_dir("memunlearn")).expanduser()
    except RuntimeError as error:  # no HOME, and the system knows no home folder of this user either
        raise UserError(f"{named or 'the cache'}: this user has no home folder: set MEMUNLEARN_CACHE to a folder") from error


def fetch(url: str, *, sha256: str | None = None, git_blob_sha1: str | None = None, cache_dir: Path | None = None) -> Path:
    """The path of a verified copy of url, downloaded only if the cache holds none.

    sha256 or git_blob_sha1 (sha1 of `blob SIZE\\0` + content): exactly one, in hex.
    cache_dir: None is `cache_root()/downloads`. A cached copy is verified each time; a damaged one is said and fetched again.
    The final name exists only with the right content.
    Raises UserError where the address cannot be reached, the transfer is cut short, or the checksum does not hold.
    """
    if (sha256 is None) == (git_blob_sha1 is None):
        raise ValueError("give sha256 or git_blob_sha1, one of them")
    wanted = sha256 or git_blob_sha1 or ""
    digest = _sha256 if sha256 else _git_blob_sha1
    # A folder per checksum: names repeat between repositories and commits, and origins of rows should show the public name.
    folder = (cache_dir or cache_root() / "downloads") / wanted[:16]
    target = folder / url.rsplit("/", 1)[-1]
    try:
        # Without the lock first, so that a cache on a read-only disk can be used: a rename is all or nothing.
        if target.is_file() and digest(target) == wanted:
            return target
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(target.name + ".lock")):
            if target.is_file():
                if digest(target) == wanted:
                    return target
                print(f"{target}: the cached copy is damaged; fetching it again", file=sys.stderr)
            remove_leftovers(folder.parent)
            with replacing(target) as part:
                _transfer(url, part)
                got = digest(part)
                if got != wanted:
                    raise UserError(f"{url}: has the checksum {got}, {wanted} was expected: try again later, {_LOCAL_COPY}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(
            f"{url}: cannot be fetched into {folder} ({error}): check the network and that folder (MEMUNLEARN_CACHE moves it), "
            f"{_LOCAL_COPY}"
        ) from error
    return target


def _transfer(url: str, part: Path) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with (
        urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response,
        part.open("wb") as file,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        announced = response.headers.get("Content-Length")
        total = int(announced) if announced is not None else None
        task = progress.add_task(f"fetching {url.rsplit('/', 1)[-1]}", total=total)
        received = 0
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            received += len(chunk)
            progress.update(task, completed=received)
    if total is not None and received != total:
        raise UserError(f"{url}: the transfer ended after {received} of {total} bytes: try again, {_LOCAL_COPY}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_blob_sha1(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
