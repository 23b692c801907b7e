"""The default demo itself: built here, so these tests take minutes."""

import naive_scoring
import pytest
import tiny_demo
import torch

from memunlearn.demo.model import Demo, DemoModelSource, DemoSource
from memunlearn.paragraphs.caps import Caps
from memunlearn.paragraphs.splits import split_by_em
from memunlearn.scoring.score import score

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def default_demo(shared_folder):
    """(model, its corpus, EM of every row)."""
    with tiny_demo.environment(MEMUNLEARN_CACHE=str(shared_folder / "cache")):
        model = DemoModelSource(Demo()).load().model
        corpus = DemoSource(Demo()).load().corpus
    return model, corpus, score(model, corpus).em


def test_what_was_to_be_memorized_is_and_nothing_else(default_demo):
    _, _, em = default_demo
    memorized, seen, unseen = em.double().split([Demo().memorized, Demo().seen, Demo().unseen])
    assert float(memorized.mean()) >= 49.5 and int((memorized == 50).sum()) >= 60
    assert float(unseen.mean()) <= 1 and float(seen.mean()) <= 5 and int(unseen.max()) < 50


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_split_has_something_to_forget_and_to_keep(default_demo, seed):
    _, corpus, em = default_demo
    sets = split_by_em(corpus, em, seed, Caps())
    kept = torch.cat([torch.as_tensor(sets.rows[name]) for name in ("retain_train", "retain_val", "retain")])
    means = {name: float(em[rows].double().mean()) for name, rows in {**sets.rows, "kept": kept}.items()}
    assert means["forget"] >= 49.5 and means["bystander"] >= 49.5
    # The mean of one of the three sets depends on which rows the seed drew; no row of them is recited.
    assert means["kept"] <= 1 and int(em[kept].max()) <= 10
    assert len(sets.forget) >= 30 and len(sets.bystander) >= 20 and len(sets.retain) >= 50


def test_em_of_every_paragraph_is_greedy_decoding(default_demo):
    model, corpus, em = default_demo
    ties = 0
    for row, scored in zip(corpus.ids, em.tolist(), strict=True):
        said, gaps = naive_scoring.greedy(model, row[: corpus.prefix_length], min(scored + 1, 50))
        real = naive_scoring.agreement(said, row[corpus.prefix_length :][: len(said)])
        if real != scored:
            ties += 1
            assert min(gaps) < 1e-4, (real, scored)
    assert ties <= 2
    assert torch.unique(em).numel() > 3
