"""A job's folder is found by the content of its config."""

import json
import threading

import pytest

from memunlearn.commands.claims import LOCK
from memunlearn.commands.sweep_folder import (
    CLAIM,
    NOT_CONTENT,
    claim_folder,
    content,
    content_hash,
    finished_job,
    holds_another_result,
)

CONFIG = {
    "seed": 3,
    "resume": False,
    "overwrite": False,
    "cache": {"enabled": True},
    "mask": {"layers": [0, 1], "fraction": 0.05, "heads": None},
    "paragraphs": {"cache_dir": "/somewhere", "max_forget": 5},
}


def finish(folder, config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"config": config}))


def changed(name, value):
    config = json.loads(json.dumps(CONFIG))
    *groups, key = name.split(".")
    place = config
    for group in groups:
        place = place[group]
    place[key] = value
    return config


def test_what_does_not_count_as_content():
    assert NOT_CONTENT == ("resume", "overwrite", "allow", "cache", "paragraphs.cache_dir")
    assert content(CONFIG) == {
        "seed": 3,
        "mask": {"layers": [0, 1], "fraction": 0.05, "heads": None},
        "paragraphs": {"max_forget": 5},
    }
    for name in NOT_CONTENT:
        assert content_hash(changed(name, "another")) == content_hash(CONFIG)
    assert CONFIG["paragraphs"]["cache_dir"] == "/somewhere"


@pytest.mark.parametrize(
    "name, value",
    [
        ("seed", 4),
        ("mask.layers", [1, 0]),
        ("mask.fraction", 0.06),
        ("mask.heads", 0),
        ("paragraphs.max_forget", None),
        ("new", 1),
    ],
)
def test_everything_else_counts(name, value):
    assert content_hash(changed(name, value)) != content_hash(CONFIG)


def test_the_order_of_keys_and_infinity_do_not_count():
    assert content_hash(dict(reversed(CONFIG.items()))) == content_hash(CONFIG)
    assert content_hash(changed("seed", None)) == content_hash({**CONFIG, "seed": float("inf")})  # as result.json holds it


def test_a_finished_job_is_found_wherever_it_lies(tmp_path):
    assert finished_job(tmp_path / "no", CONFIG) is None
    finish(tmp_path / "0", changed("seed", 0))
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "result.json").write_text('{"config": {"se')
    assert finished_job(tmp_path, CONFIG) is None
    finish(tmp_path / "from-elsewhere", changed("resume", True))
    assert finished_job(tmp_path, CONFIG) == tmp_path / "from-elsewhere"
    assert claim_folder(tmp_path, 0, content_hash(CONFIG)) == "from-elsewhere"
    assert not holds_another_result(tmp_path / "from-elsewhere", CONFIG) and not holds_another_result(tmp_path / "1", CONFIG)
    assert holds_another_result(tmp_path / "0", CONFIG)


def test_a_job_gets_its_number_or_the_next_free_one_and_keeps_it(tmp_path):
    assert claim_folder(tmp_path / "new", 4, "a") == "4"
    sweep = tmp_path / "new"
    assert claim_folder(sweep, 4, "b") == "5" and claim_folder(sweep, 0, "b") == "5" and claim_folder(sweep, 9, "a") == "4"
    (sweep / "6").mkdir()
    (sweep / "6" / "notes.txt").write_text("the user's own")
    assert claim_folder(sweep, 6, "c") == "7"
    assert (sweep / "6" / "notes.txt").read_text() == "the user's own"
    assert {path.name for path in sweep.iterdir()} == {LOCK, "4", "5", "6", "7"}


def test_a_result_outweighs_the_claim(tmp_path):
    """Someone put another job's result there: it is not overwritten."""
    assert claim_folder(tmp_path, 0, content_hash(CONFIG)) == "0"
    finish(tmp_path / "0", changed("seed", 8))
    assert claim_folder(tmp_path, 0, content_hash(CONFIG)) == "1"
    assert claim_folder(tmp_path, 5, content_hash(changed("seed", 8))) == "0"


def test_jobs_of_several_machines_never_share_a_folder(tmp_path):
    names, start = [], threading.Barrier(8)

    def claim(number):
        start.wait()
        names.extend(claim_folder(tmp_path, job, f"content {number}-{job}") for job in range(6))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == len(set(names)) == 48
    assert len({(tmp_path / name / CLAIM).read_text() for name in names}) == 48


def test_a_folder_that_cannot_be_made_is_an_error_and_no_endless_search(tmp_path, monkeypatch):
    def refuse(*paths):
        raise PermissionError("no")

    monkeypatch.setattr("memunlearn.commands.sweep_folder.os.rename", refuse)
    with pytest.raises(PermissionError):
        claim_folder(tmp_path, 0, "a")
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]
