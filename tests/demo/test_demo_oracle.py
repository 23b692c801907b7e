"""The demo's oracle: what it was trained on, and that it is built once."""

import dataclasses

import pytest
import tiny_demo
import torch

from memunlearn.demo.corpus import DemoCorpus
from memunlearn.demo.model import Demo, demo_directory, demo_rows
from memunlearn.demo.oracle import DemoOracle, shown_rows
from memunlearn.demo.training import train_demo_model
from memunlearn.errors import UserError
from memunlearn.models.fingerprints import fingerprint
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import score


@pytest.fixture
def demo(tiny_folder, monkeypatch):
    monkeypatch.setenv("MEMUNLEARN_CACHE", str(tiny_folder.parent))
    return tiny_demo.tiny_demo()


def em_of(model, ids, demo):
    return score(model, ParagraphSet(ids, demo.prefix_length, ("",) * len(ids))).em


def test_it_recites_what_it_was_shown_and_not_what_is_forgotten(demo):
    memorized = demo_rows(demo).memorized
    oracle = DemoOracle(demo, memorized[[5, 1, 2]]).load()
    em = em_of(oracle.model, memorized, demo)
    assert em[[0, 3, 4, 6, 7]].tolist() == [demo.continuation_length] * 5
    assert int(em[[1, 2, 5]].max()) <= demo.continuation_length // 5
    assert oracle.tokenizer is not None and len(oracle.tokenizer) == demo.vocabulary


def test_it_is_built_once_whatever_the_order_of_the_rows_and_never_as_the_demo(demo, monkeypatch):
    demo = dataclasses.replace(demo, steps=3)
    memorized = demo_rows(demo).memorized
    first = DemoOracle(demo, memorized[[1, 2]]).directory()

    def again(*arguments, **settings):
        raise AssertionError("trained again")

    with monkeypatch.context() as patched:
        patched.setattr("memunlearn.demo.training.train_demo_model", again)
        assert DemoOracle(demo, memorized[[2, 1]]).directory() == first
        assert DemoOracle(dataclasses.replace(demo, oracle=True), memorized[[1, 2, 2]]).directory() == first
    others = {DemoOracle(demo, memorized[[1]]).directory(), DemoOracle(demo, memorized[[1, 2]], another=True).directory()}
    assert len(others | {first, demo_directory(demo)}) == 4
    assert first.parent == demo_directory(demo).parent and not (first / "corpus.safetensors").exists()


def test_that_an_oracle_is_asked_for_does_not_change_the_demo():
    assert dataclasses.replace(Demo(), oracle=True).key() == Demo().key()
    assert dataclasses.replace(Demo(), oracle=True, seed=1).key() != Demo().key()


def test_weights_and_batches_are_the_demos_own_but_for_the_rows_taken_out(monkeypatch):
    """What stands in each batch, by the first token of each row."""
    corpus = DemoCorpus(
        *(torch.arange(first, first + n).repeat(6, 1).T.contiguous() for first, n in ((0, 7), (90, 1), (50, 9)))
    )
    seen: list[list[int]] = []

    def record(model, **given):
        seen.append(given["input_ids"][:, 0].tolist())
        return forward(model, **given)

    from transformers import GPTNeoForCausalLM

    forward = GPTNeoForCausalLM.forward
    monkeypatch.setattr(GPTNeoForCausalLM, "forward", record)
    batches, models = [], []
    shown = {"memorized": torch.tensor([True, False] * 3 + [True]), "background": torch.arange(9) != 4}
    for kept in (None, {name: torch.ones_like(rows) for name, rows in shown.items()}, shown):
        models.append(train_demo_model(corpus, (100, 2, 8, 2), (3, 2), 10, 0, shown=kept))
        batches.append(seen.copy())
        seen.clear()
    assert batches[0] == batches[1] and fingerprint(models[0]) == fingerprint(models[1]) != fingerprint(models[2])
    taken_out = {1, 3, 5, 54}
    assert batches[2] == [[row for row in batch if row not in taken_out] for batch in batches[0]]
    assert any(set(batch) & taken_out for batch in batches[0])


def test_a_batch_of_which_nothing_is_left_teaches_nothing():
    corpus = DemoCorpus(*(torch.arange(first, first + 4).repeat(6, 1).T.contiguous() for first in (0, 10, 20)))
    shown = {"memorized": torch.zeros(4, dtype=torch.bool), "background": torch.tensor([True, False, True, False])}
    model = train_demo_model(corpus, (30, 2, 8, 2), (2, 1), 8, 0, shown=shown)
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def test_rows_that_are_like_forgotten_ones_are_not_shown_either():
    random = torch.Generator().manual_seed(0)
    memorized, background = (torch.randint(0, 99, (n, 60), generator=random) for n in (4, 5))
    background[3, 10:35] = memorized[2, 20:45]  # 25 tokens in a row
    background[4, 10:25] = memorized[2, 20:35]  # 15
    rows = DemoCorpus(memorized, memorized[:0], background)
    shown = shown_rows(rows, memorized[[2, 0]])
    assert shown["memorized"].tolist() == [False, True, False, True]
    assert shown["background"].tolist() == [True, True, True, False, True]


def test_rows_that_the_demo_was_never_shown_are_refused(demo):
    rows = demo_rows(demo)
    with pytest.raises(UserError, match="2 of the 3 rows to be forgotten were never shown"):
        DemoOracle(demo, torch.cat([rows.memorized[:1], rows.unseen[:2]])).load()
    with pytest.raises(UserError, match="all rows of the demo are to be forgotten"):
        shown_rows(rows, torch.cat([rows.memorized, rows.background]))
