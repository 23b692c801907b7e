"""A stage is built, works with memunlearn, and is the same after a kill."""

import dataclasses
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from benchmarks.stage import build as building
from benchmarks.stage import training
from benchmarks.stage.build import Request, build
from benchmarks.stage.folder import forget_rows
from benchmarks.stage.recipe import RECIPES
from benchmarks.stage.rows import StageRows
from memunlearn.errors import UserError
from memunlearn.models.loading import ModelSource
from memunlearn.paragraphs.clusters import cluster_rows
from memunlearn.paragraphs.sources import FileSource
from memunlearn.paragraphs.splits import Caps, split_by_em, split_named
from memunlearn.scoring.score import score

ROOT = Path(__file__).parents[2]
TINY = RECIPES["tiny"]
SHORT = dataclasses.replace(TINY, steps=4, check_every=2)


def request(recipe=TINY, **settings):
    return Request(size="tiny", recipe=recipe, accelerator="cpu", **settings)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("stages") / "tiny"
    build(request(), str(folder))
    return folder


@pytest.fixture
def account(stage):
    return json.loads((stage / "stage.json").read_text())


def corpus_of(file):
    """As `paragraphs=files paragraphs.path=FILE` reads it."""
    return FileSource(prefix_length=50, continuation_length=50, path=str(file)).load().corpus


def rows_of(stage, name):
    return torch.from_numpy(np.load(stage / f"{name}.npy").astype(np.int64))


def test_memunlearn_finds_its_sets_in_the_folder(stage):
    loaded = ModelSource(str(stage / "model")).load()
    corpus = corpus_of(stage / "corpus.npy")
    em = score(loaded.model, corpus).em
    assert em[: TINY.memorized].tolist() == [50] * TINY.memorized
    assert float(em[TINY.memorized :].double().mean()) < 5 and float(em[-TINY.unseen :].double().mean()) < 1
    sets = split_by_em(corpus, em, 0, Caps(max_forget=3))
    assert len(sets.forget) == 3 and len(sets.forget) + len(sets.near) + len(sets.bystander) + len(sets.bystander_val) == 12
    assert min(len(sets.retain_train), len(sets.retain_val), len(sets.retain)) > 2
    assert loaded.tokenizer.decode(corpus.ids[0]).strip()


def test_the_account_is_what_can_be_measured(stage, account):
    loaded = ModelSource(str(stage / "model")).load()
    for role in ("memorized", "seen", "unseen"):
        scores = score(loaded.model, corpus_of(stage / f"{role}.npy"))
        said = account["rows"][role]
        assert said["rows"] == len(scores) == getattr(TINY, role) and said["memorized"] == int((scores.em == 50).sum())
        assert said["em"] == float(scores.em.double().mean()) and said["nll"] == pytest.approx(float(scores.nll.mean()))
    assert account["parameters"] == sum(weight.numel() for weight in loaded.model.parameters())
    assert account["steps"] == TINY.steps and account["seconds"] > 0 and account["device"].startswith("cpu")
    assert account["request"]["recipe"] == dataclasses.asdict(TINY) and account["request"]["size"] == "tiny"


def test_nothing_but_the_stage_is_left(stage):
    rows = {"corpus", "memorized", "seen", "unseen", "forget", "bystander"}
    assert {path.name for path in stage.iterdir()} == {"README.md", "model", "stage.json", *(f"{name}.npy" for name in rows)}
    corpus = torch.cat([rows_of(stage, role) for role in ("memorized", "seen", "unseen")])
    assert torch.equal(rows_of(stage, "corpus"), corpus)


def test_every_forgotten_row_has_a_cluster_of_its_own_and_some_have_near_duplicates(stage):
    forget, bystander, memorized = (rows_of(stage, name) for name in ("forget", "bystander", "memorized"))
    assert len(forget) == len(memorized) // 4
    assert sorted(torch.cat([forget, bystander]).tolist()) == sorted(memorized.tolist())
    for seed in range(8):
        chosen = forget_rows(memorized, seed)
        assert len(cluster_rows(memorized[chosen]).unique()) == int(chosen.sum()) == 3
        assert torch.equal(chosen, forget_rows(memorized, seed))
    assert len({tuple(forget_rows(memorized, seed).tolist()) for seed in range(8)}) > 4
    given = {name: corpus_of(stage / f"{name}.npy") for name in ("forget", "bystander", "unseen")}
    sets = [split_named(*given.values(), 0, Caps()), split_named(corpus_of(stage / "memorized.npy"), None, None, 0, Caps())]
    assert len(sets[0].forget) == 3 and len(sets[0].near) + len(sets[0].bystander) + len(sets[0].bystander_val) == 9
    near = cluster_rows(memorized)[forget_rows(memorized, 0)]
    assert len(sets[0].near) == int(torch.isin(cluster_rows(memorized), near).sum()) - 3
    assert len(sets[1].forget) == 12


def test_asked_again_it_is_there_already_and_another_one_is_refused(stage):
    before = {path: path.stat().st_mtime_ns for path in stage.rglob("*")}
    assert "holds this stage already" in build(request(), str(stage))
    with pytest.raises(UserError, match="holds another stage"):
        build(request(seed=1), str(stage))
    with pytest.raises(UserError, match="holds another stage"):
        build(request(SHORT), str(stage))
    assert before == {path: path.stat().st_mtime_ns for path in stage.rglob("*")}


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_model(stage, tmp_path):
    """kill -9 while it trains, after the first checkpoint."""
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "benchmarks.stage", "--size", "tiny", "--accelerator", "cpu", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while "step 30 of 120" not in (line := running.stdout.readline()):
        assert line, running.poll()
    while not (out / "training" / "last.pt").exists():
        assert running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert not (out / "stage.json").exists() and not (out / "model").exists()
    with pytest.raises(UserError, match="holds another stage"):
        build(request(seed=1), str(out))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = [int(step) for step in re.findall(r"step (\d+) of 120", done.stdout)]
    assert steps in ([60, 90, 120], [90, 120])
    assert f"See {out / 'README.md'}" in done.stdout and not (out / "training").exists()
    for file in ("model/model.safetensors", "corpus.npy"):
        assert (out / file).read_bytes() == (stage / file).read_bytes(), file
    seconds = [json.loads((folder / "stage.json").read_text())["seconds"] for folder in (out, stage)]
    assert min(seconds) > 0


@pytest.mark.parametrize("recited", [False, True])
def test_a_training_that_was_over_is_not_trained_further(tmp_path, monkeypatch, recited):
    """Killed between its last check, by number of steps or because everything is recited, and the writing of the model."""
    first, again = tmp_path / "first", tmp_path / "again"
    monkeypatch.setattr(training, "_sure", lambda scores: recited)
    build(request(SHORT), str(first))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(building, "write_rows", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        build(request(SHORT), str(again))
    assert (again / "training" / "last.pt").is_file() and not (again / "model").exists()
    build(request(SHORT), str(again))
    assert json.loads((again / "stage.json").read_text())["steps"] == (2 if recited else 4)
    assert (again / "model/model.safetensors").read_bytes() == (first / "model/model.safetensors").read_bytes()


def test_a_damaged_checkpoint_is_one_line(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"half")
    with pytest.raises(UserError, match="last.pt cannot be read .* remove it"):
        training._read(tmp_path / "last.pt")
    for other in ({"model": {}}, torch.zeros(2)):
        torch.save(other, tmp_path / "last.pt")
        with pytest.raises(UserError, match="last.pt is no checkpoint of a stage: remove it"):
            training._read(tmp_path / "last.pt")


def test_a_damaged_account_is_one_line(tmp_path):
    (tmp_path / "stage.json").write_text("{}")
    with pytest.raises(UserError, match="holds another stage"):
        build(request(SHORT), str(tmp_path))


def test_training_ends_once_everything_is_recited(stage, tmp_path, monkeypatch, capsys):
    """All rows are looked at only where the first ones are recited."""
    looked = []

    def sure(scores):
        looked.append(len(scores))
        return len(looked) != 1

    monkeypatch.setattr(training, "_sure", sure)
    monkeypatch.setattr(training, "CHECKED", 5)
    build(request(dataclasses.replace(TINY, steps=20, check_every=2)), str(tmp_path / "early"))
    assert looked == [5, 5, 12] and json.loads((tmp_path / "early" / "stage.json").read_text())["steps"] == 4


@pytest.mark.parametrize(
    ("em", "nll", "sure"), [([3, 3], [0.01, 0.02], True), ([3, 2], [0.01, 0.01], False), ([3, 3], [0.01, 0.021], False)]
)
def test_recited_with_a_margin(em, nll, sure):
    scores = training.ParagraphScores({"em": torch.tensor(em), "nll": torch.tensor(nll)}, torch.zeros(2, 3))
    assert training._sure(scores) is sure


def test_every_row_comes_once_before_any_comes_again():
    order = training._in_turn(7, 11, 4, torch.Generator().manual_seed(5))
    assert order.shape == (11, 4)
    rounds = order.flatten()[:42].view(6, 7)
    assert (rounds.sort(1).values == torch.arange(7)).all() and len(rounds.unique(dim=0)) > 1


def test_a_step_is_next_token_prediction_on_its_memorized_and_background_rows():
    generator = torch.Generator().manual_seed(9)
    memorized, background = (torch.randint(0, 300, (count, 100), generator=generator) for count in (5, 9))
    rows = StageRows(memorized, background[:2], memorized[:0], background)
    recipe = dataclasses.replace(SHORT, memorized_batch=3, background_batch=2)
    torch.manual_seed(4)
    module = training.Memorizing(training.new_gpt_neo(300, 2, 32, 4), rows, recipe, seed=0)
    assert module.order.shape == (4, 5)
    assert (module.order[:, :3] < 5).all() and ((module.order[:, 3:] >= 5) & (module.order[:, 3:] < 14)).all()
    batch = module.rows[module.order[1]]
    assert torch.equal(batch[3], background[module.order[1, 3] - 5])
    module.log = lambda *arguments, **settings: None
    loss = module.training_step(batch, 0)
    logits = module.model(batch).logits
    expected = sum(cross_entropy(logits[row, place], batch[row, place + 1]) for row in range(5) for place in range(99)) / (
        5 * 99
    )
    torch.testing.assert_close(loss, expected)
    weights = [*module.parameters()]
    for got, wanted in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_rows_of_ones_own(stage, tmp_path, precision):
    """A pair of files, and the tokenizer that they were made with; more text for the background from a folder."""
    corpus = np.load(stage / "corpus.npy").astype(np.uint16)
    np.save(tmp_path / "prefix.npy", corpus[:, :50])
    np.save(tmp_path / "continuation.npy", corpus[:, 50:])
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "page.txt").write_text(" ".join(f"{number} green bottles hang on a wall." for number in range(900)))
    recipe = dataclasses.replace(SHORT, memorized=6, unseen=7, seen=5, precision=precision)
    pair = [str(tmp_path / "prefix.npy"), str(tmp_path / "continuation.npy")]
    settings = {"rows": pair, "text": str(tmp_path / "text"), "tokenizer": str(stage / "model")}
    said = build(request(recipe, **settings), str(tmp_path / "own"))
    given = {tuple(row) for row in corpus.tolist()}
    for role, count in (("memorized", 6), ("unseen", 7), ("seen", 5)):
        ids = rows_of(tmp_path / "own", role)
        assert len(ids) == count and {tuple(row) for row in ids.tolist()} <= given
    loaded = ModelSource(str(tmp_path / "own" / "model")).load()
    assert loaded.model.config.vocab_size == TINY.vocabulary and "of 6 rows after 4 steps" in said
    assert all(weight.dtype == torch.float32 and bool(weight.isfinite().all()) for weight in loaded.model.parameters())
    assert loaded.tokenizer.decode([5, 200]) == ModelSource(str(stage / "model")).load().tokenizer.decode([5, 200])


def test_rows_of_another_tokenizer_are_refused(stage, tmp_path):
    np.save(tmp_path / "rows.npy", np.load(stage / "corpus.npy") + 500)
    with pytest.raises(UserError, match="beyond the model's vocabulary of 512"):
        build(request(rows=[str(tmp_path / "rows.npy")], tokenizer=str(stage / "model")), str(tmp_path / "own"))
    assert not (tmp_path / "own").exists()


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "write_rows", full)
    with pytest.raises(UserError, match="No space left on device.*give another --out"):
        build(request(SHORT), str(tmp_path / "stage"))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["corpus.npy", "bystander.npy"])
def test_the_commands_in_its_readme_run(stage, tmp_path, which):
    typed = re.findall(r"^    python (train\.py .*?[^\\])$", (stage / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (command,) = (shlex.split(one.replace("\\\n", " ")) for one in typed if which in one)
    extra = [f"hydra.run.dir={tmp_path / 'run'}", "stop.max_steps=2", "trainer.accelerator=cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEMUNLEARN_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, *command, *extra], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before = json.loads((tmp_path / "run" / "result.json").read_text())["before"]
    assert before["forget"]["em"] == before["bystander"]["em"] == 50 and before["retain"]["em"] < 5
    assert "forget: 3 rows" in done.stdout
