from __future__ import annotations

import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

import platformdirs
import pytest

from memunlearn.errors import UserError
from memunlearn.paragraphs.download import cache_root, fetch

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
GIT_BLOB = hashlib.sha1(f"blob {len(CONTENT)}\0".encode() + CONTENT).hexdigest()


def nothing_left(cache):
    """No file under the cache but locks."""
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_cache_root_is_the_users_unless_the_environment_says_otherwise(cache, monkeypatch):
    assert cache_root() == cache
    monkeypatch.delenv("MEMUNLEARN_CACHE")
    assert cache_root() == platformdirs.user_cache_path("memunlearn")


@pytest.mark.parametrize("checksum", [{"sha256": SHA256}, {"git_blob_sha1": GIT_BLOB}], ids=["sha256", "git"])
def test_fetched_once_then_served_offline(web, cache, checksum, capsys):
    web.files["/x/rows.pt"] = CONTENT
    path = fetch(f"{web.url}/x/rows.pt", **checksum)
    assert path.read_bytes() == CONTENT
    assert path.name == "rows.pt" and path.is_relative_to(cache / "downloads")
    assert "fetching rows.pt" in capsys.readouterr().err
    web.stop()
    assert fetch(f"{web.url}/x/rows.pt", **checksum) == path
    assert len(web.requests) == 1


def test_git_blob_id_is_gits(tmp_path, web, cache):
    (tmp_path / "file").write_bytes(CONTENT)
    try:
        said = subprocess.run(["git", "hash-object", "file"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git here")
    assert said.strip() == GIT_BLOB


def test_a_damaged_copy_is_said_and_fetched_again(web, cache, capsys):
    web.files["/rows.pt"] = CONTENT
    path = fetch(f"{web.url}/rows.pt", sha256=SHA256)
    path.write_bytes(CONTENT[:-1])
    assert fetch(f"{web.url}/rows.pt", sha256=SHA256).read_bytes() == CONTENT
    assert "damaged" in capsys.readouterr().err
    assert len(web.requests) == 2


def test_truncated(web, cache):
    web.files["/rows.pt"], web.promised["/rows.pt"] = CONTENT[:1000], len(CONTENT)
    with pytest.raises(UserError, match=f"rows.pt.*1000 of {len(CONTENT)} bytes.*paragraphs=files paragraphs.forget=PATH"):
        fetch(f"{web.url}/rows.pt", sha256=SHA256)
    assert nothing_left(cache)


def test_wrong_checksum(web, cache):
    web.files["/rows.pt"] = CONTENT[::-1]
    with pytest.raises(UserError, match=f"rows.pt.*{SHA256} was expected.*paragraphs=files"):
        fetch(f"{web.url}/rows.pt", sha256=SHA256)
    assert nothing_left(cache)


def test_not_there_and_unreachable(web, cache):
    with pytest.raises(UserError, match="rows.pt.*404.*paragraphs=files"):
        fetch(f"{web.url}/rows.pt", sha256=SHA256)
    with pytest.raises(UserError, match="unknown url type"):
        fetch("mirror/rows.pt", sha256=SHA256)
    web.stop()
    with pytest.raises(UserError, match="rows.pt: cannot be fetched.*MEMUNLEARN_CACHE.*paragraphs=files"):
        fetch(f"{web.url}/rows.pt", sha256=SHA256)
    assert nothing_left(cache)


def test_a_failed_refetch_does_not_bless_the_damaged_copy(web, cache):
    web.files["/rows.pt"] = CONTENT
    fetch(f"{web.url}/rows.pt", sha256=SHA256).write_bytes(b"noise")
    web.stop()
    for _ in range(2):
        with pytest.raises(UserError, match="cannot be fetched"):
            fetch(f"{web.url}/rows.pt", sha256=SHA256)


def test_a_cache_that_cannot_be_written(web, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="MEMUNLEARN_CACHE"):
        fetch(f"{web.url}/rows.pt", sha256=SHA256)


@pytest.mark.skipif(os.name != "posix", reason="permissions of folders")
def test_a_read_only_cache_is_used(web, cache):
    web.files["/rows.pt"] = CONTENT
    path = fetch(f"{web.url}/rows.pt", sha256=SHA256)
    path.with_name("rows.pt.lock").unlink(missing_ok=True)
    path.parent.chmod(0o555)
    try:
        assert fetch(f"{web.url}/rows.pt", sha256=SHA256) == path
    finally:
        path.parent.chmod(0o755)


def test_many_at_once_download_once(web, cache):
    web.files["/rows.pt"] = CONTENT
    with ThreadPoolExecutor(4) as pool:
        paths = set(pool.map(lambda _: fetch(f"{web.url}/rows.pt", sha256=SHA256), range(4)))
    assert len(paths) == 1 and len(web.requests) == 1


def test_one_checksum_is_needed():
    with pytest.raises(ValueError, match="one of them"):
        fetch("http://127.0.0.1/rows.pt")
