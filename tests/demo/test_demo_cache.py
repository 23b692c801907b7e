"""The demo is built once, whole, and again whenever anything that decides it changes."""

import dataclasses
import os
import subprocess
import sys

import pytest
import tiny_demo
import torch

from memunlearn.demo import model as demo_model
from memunlearn.demo.model import Demo, DemoModelSource, DemoSource, demo_directory
from memunlearn.errors import UserError

BUILD_AND_TELL = """
import sys
sys.path.insert(0, sys.argv[1])
import dataclasses, tiny_demo
from memunlearn.demo.model import demo_directory
print("at", demo_directory(dataclasses.replace(tiny_demo.tiny_demo(), steps=2)))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(cache):
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_the_key_changes_with_every_setting():
    keys = {Demo().key()}
    fields = [field for field in dataclasses.fields(Demo) if field.name != "oracle"]
    for field in fields:
        larger = {"layers": 6, "width": 256, "heads": 8}.get(field.name, getattr(Demo(), field.name) + 1)
        keys.add(dataclasses.replace(Demo(), **{field.name: larger}).key())
    assert len(keys) == 1 + len(fields)


def test_the_key_changes_with_the_text_the_libraries_and_the_way_it_is_built(monkeypatch):
    keys = {Demo().key()}
    for name, value in (
        ("text_hash", lambda: "another Python's"),
        ("version", lambda name: "9.9"),
        ("BUILD", demo_model.BUILD + 1),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(demo_model, name, value)
            keys.add(Demo().key())
    assert len(keys) == 4 and Demo().key() in keys


def test_the_demo_recites_what_it_is_to_recite(tiny_folder, monkeypatch):
    from memunlearn.scoring.score import score

    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tiny_folder.parent))
    demo = tiny_demo.tiny_demo()
    assert demo_directory(demo) == tiny_folder
    loaded, paragraphs = DemoModelSource(demo).load(), DemoSource(demo).load()
    em = score(loaded.model, paragraphs.corpus).em
    assert em[: demo.memorized].tolist() == [demo.continuation_length] * demo.memorized
    assert float(em[demo.memorized :].double().mean()) < 1 and len(em) == demo.memorized + demo.seen + demo.unseen
    assert loaded.tokenizer is not None and "8 memorized, 12 seen, 40 unseen" in paragraphs.description


def test_a_demo_may_have_no_seen_rows(tiny_folder, monkeypatch):
    demo = dataclasses.replace(tiny_demo.tiny_demo(), seen=0)
    monkeypatch.setattr(demo_model, "demo_directory", lambda asked: tiny_folder)
    assert len(DemoSource(demo).load().corpus) == demo.memorized + demo.unseen


@pytest.mark.slow
def test_two_processes_that_ask_at_once_build_once(cache):
    arguments = [sys.executable, "-c", BUILD_AND_TELL, os.path.dirname(tiny_demo.__file__)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    places = {line for output in said for line in output.splitlines() if line.startswith("at ")}
    assert len(places) == 1 and sum("building the demo's model" in output for output in said) == 1
    assert entries(cache) == [os.path.basename(places.pop())]


@pytest.mark.parametrize("where", ["memunlearn.demo.training.train_demo_model", "memunlearn.demo.model.save_file"])
def test_a_build_that_fails_leaves_no_entry(cache, monkeypatch, where):
    def failing(*arguments, **settings):
        raise RuntimeError("interrupted")

    demo = dataclasses.replace(tiny_demo.tiny_demo(), steps=1)
    with monkeypatch.context() as patched:
        patched.setattr(where, failing)
        with pytest.raises(RuntimeError, match="interrupted"):
            demo_directory(demo)
        assert entries(cache) == []
    place = demo_directory(demo)  # the next attempt succeeds
    assert entries(cache) == [place.name]


def test_what_a_killed_build_left_is_no_obstacle(cache):
    demo = dataclasses.replace(tiny_demo.tiny_demo(), steps=1)
    unfinished = cache / f".tmp-0123-demo-{demo.key()}"
    unfinished.mkdir(parents=True)
    (unfinished / "model.safetensors").write_bytes(b"half of it")
    place = demo_directory(demo)
    assert entries(cache) == [place.name] and (place / "config.json").is_file()
    assert place.stat().st_mode & 0o055 == cache.stat().st_mode & 0o055  # as readable for others as the cache itself


def test_building_leaves_the_callers_random_numbers_alone(cache):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    demo_directory(dataclasses.replace(tiny_demo.tiny_demo(), steps=1))
    assert torch.equal(torch.rand(3), expected)


def test_a_cache_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="MEMUNLEARN_CACHE"):
        demo_directory(tiny_demo.tiny_demo())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"memorized": 0}, "demo.memorized=0"),
        ({"unseen": 2}, "demo.unseen=2"),
        ({"steps": 0}, "demo.steps=0"),
        ({"seed": -1}, "demo.seed=-1"),
        ({"heads": 0}, "demo.heads=0"),
        ({"vocabulary": 200}, "demo.vocabulary=200"),
        ({"prefix_length": 0}, "prefix_length=0"),
        ({"continuation_length": 0}, "continuation_length=0"),
        ({"prefix_length": 200, "continuation_length": 100}, "256"),
        ({"seen": 451, "background": 450}, "demo.seen=451"),
        ({"layers": 3}, "even demo.layers"),
        ({"width": 130}, "divisible"),
    ],
    ids=str,
)
def test_sizes_that_cannot_work_are_refused_before_anything_is_built(settings, said):
    with pytest.raises(UserError, match=said):
        Demo(**settings)


def test_a_corpus_of_ones_own_is_checked_and_read_without_building_the_demo(cache, tmp_path):
    demo = tiny_demo.tiny_demo()
    length = demo.prefix_length + demo.continuation_length
    rows = torch.arange(3 * length).view(3, length)
    torch.save(rows, tmp_path / "own.pt")
    source = DemoSource(demo, str(tmp_path / "own.pt"))
    source.check()
    corpus = source.load().corpus
    assert torch.equal(corpus.ids, rows) and corpus.prefix_length == demo.prefix_length and not cache.exists()
    with pytest.raises(UserError, match="none.pt"):
        DemoSource(demo, str(tmp_path / "none.pt")).check()
