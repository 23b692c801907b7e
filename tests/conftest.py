"""What tests of several folders share: a tiny model that recites, and the sets of a run on it."""

import copy
import sys
from pathlib import Path

import pytest
import torch

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.paragraphs.splits import SET_NAMES, ParagraphSets

sys.path.append(str(Path(__file__).parent / "models"))  # tiny_architectures, for the other folders

P, C = 7, 9
EOS = 0
ROWS = {"forget": 5, "bystander": 3, "near": 2, "bystander_val": 2, "retain_train": 7, "retain_val": 3, "retain": 4}
RECITED = ("forget", "bystander", "near", "bystander_val")


def _rows(name: str) -> ParagraphSet:
    """Random rows; in the second of each set EOS stands in the prefix and twice in the continuation."""
    import tiny_architectures as tiny

    generator = torch.Generator().manual_seed(100 + SET_NAMES.index(name))
    ids = torch.randint(1, tiny.VOCABULARY, (ROWS[name], P + C), generator=generator)
    ids[1, [2, P + 1, P + 5]] = EOS
    return ParagraphSet(ids, P, tuple(f"{name}.pt:{row}" for row in range(len(ids))))


@pytest.fixture(scope="session")
def sets() -> ParagraphSets:
    """Forget rows 0 and 2 share a cluster, and the first near row has that of forget row 1."""
    paragraphs = {name: _rows(name) for name in SET_NAMES}
    clusters, first = {}, 0
    for name in SET_NAMES:
        clusters[name] = torch.arange(first, first + ROWS[name])
        first += ROWS[name]
    clusters["forget"][2] = clusters["forget"][0]
    clusters["near"][0] = clusters["forget"][1]
    rows = {name: torch.arange(ROWS[name]) for name in SET_NAMES}
    return ParagraphSets(**paragraphs, clusters=clusters, rows=rows, dropped={})


def _train(model: torch.nn.Module, ids: torch.Tensor, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
    model.zero_grad()


@pytest.fixture(scope="session")
def _trained(sets: ParagraphSets) -> dict[int, torch.nn.Module]:
    """By number of steps."""
    import tiny_architectures as tiny

    model = tiny.tiny_model("gpt_neo")
    recited = torch.cat([getattr(sets, name).ids for name in RECITED])
    snapshots, done = {}, 0
    for steps in (16, 40):
        _train(model, recited, steps - done)
        done = steps
        snapshots[steps] = copy.deepcopy(model)
    return snapshots


@pytest.fixture
def reciting(_trained):
    """A tiny GPT-Neo that recites forget, bystander, near and bystander_val; a copy that the test may change."""
    return copy.deepcopy(_trained[40])


@pytest.fixture
def half_trained(_trained):
    """The same, early in its training: EM is anything."""
    return copy.deepcopy(_trained[16])
