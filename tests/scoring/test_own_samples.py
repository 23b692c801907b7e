"""Samples of a model's own text against its distribution, and which of them seem memorized, by hand."""

from types import SimpleNamespace

import pytest
import tiny_architectures
import torch
from scipy.stats import chisquare, kstest

from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.own_samples import Start, own_samples, seems_memorized, start_of
from memunlearn.scoring.score import score

V = tiny_architectures.VOCABULARY
EVERY = torch.ones(V, dtype=torch.bool)
FAMILIES = tiny_architectures.FAMILIES


@pytest.fixture(scope="module")
def sharp():
    """A random model that prefers some tokens by far."""
    model = tiny_architectures.tiny_model("gpt2")
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(1.5)
    return model


def from_nothing(ids=(3,)):
    return Start(tuple(ids), EVERY, EVERY)


def test_the_first_token_is_drawn_with_the_model_s_own_chances(sharp):
    drawn = own_samples(sharp, 4000, 2, start=from_nothing(), seed=0, batch_size=500)
    assert (drawn[:, 0] == 3).all() and drawn.dtype == torch.int64
    with torch.no_grad():
        p = sharp(torch.tensor([[3]])).logits[0, -1].double().softmax(-1)
    often = p * 4000 > 5
    counts = torch.bincount(drawn[:, 1], minlength=V)
    together = lambda values: [*values[often].tolist(), float(values[~often].sum())]  # noqa: E731
    assert int(often.sum()) >= 5 and float(p.max()) < 0.9
    assert chisquare(together(counts), together(4000 * p)).pvalue > 0.01
    assert chisquare(together(counts), [4000 / (int(often.sum()) + 1)] * (int(often.sum()) + 1)).pvalue < 1e-9


def test_later_tokens_are_drawn_given_those_before(sharp):
    """The summed probability of the tokens in front of the one that was drawn, and half its own, is uniform where tokens are
    drawn with the model's chances and the last step's numbers are not the first's."""
    drawn = own_samples(sharp, 600, 7, start=from_nothing(), seed=5, batch_size=64)
    with torch.no_grad():
        p = sharp(drawn[:, :-1]).logits.double().softmax(-1)
    noise = torch.rand(drawn.shape[0], 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    own = p.gather(-1, drawn[:, 1:].unsqueeze(-1)).squeeze(-1)
    before = p.cumsum(-1).gather(-1, drawn[:, 1:].unsqueeze(-1)).squeeze(-1) - own
    place = before + noise * own
    for step in range(6):
        assert kstest(place[:, step].numpy(), "uniform").pvalue > 0.01, step
    assert float(torch.corrcoef(place.T).fill_diagonal_(0).abs().max()) < 0.15


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_samples_in_batches_of_any_size(family):
    model = tiny_architectures.tiny_model(family)
    whole = own_samples(model, 11, 9, start=from_nothing(), seed=3, batch_size=11)
    assert whole.shape == (11, 9) and torch.equal(whole, own_samples(model, 11, 9, start=from_nothing(), seed=3, batch_size=4))
    assert torch.equal(whole[:5], own_samples(model, 5, 9, start=from_nothing(), seed=3))  # the first of many are those of few
    other = own_samples(model, 11, 9, start=from_nothing(), seed=4)
    assert not torch.equal(whole, other) and len(whole.unique(dim=0)) == 11


def test_own_generation_settings_and_eos_and_the_random_numbers_of_others_do_not_matter(sharp):
    plain = own_samples(sharp, 6, 12, start=from_nothing(), seed=0)
    kept = sharp.generation_config
    torch.manual_seed(8)
    expected = torch.rand(3)
    try:
        sharp.generation_config = type(kept)(eos_token_id=list(range(40)), temperature=0.1, do_sample=True, top_k=1)
        torch.manual_seed(8)
        assert torch.equal(own_samples(sharp, 6, 12, start=from_nothing(), seed=0), plain)
        assert torch.equal(torch.rand(3), expected)
    finally:
        sharp.generation_config = kept


def test_tokens_that_no_text_can_hold_are_never_drawn(sharp):
    few = torch.zeros(V, dtype=torch.bool)
    few[[2, 5, 7, V - 1]] = True
    drawn = own_samples(sharp, 200, 6, start=Start((3,), few, few), seed=0)
    assert set(drawn[:, 1:].flatten().tolist()) <= {2, 5, 7, V - 1}
    from_any = own_samples(sharp, 400, 4, start=Start((), EVERY, few), seed=0)
    first = torch.bincount(from_any[:, 0], minlength=V)
    assert from_any.shape == (400, 4) and first.sum() == first[few].sum() and chisquare(first[few].tolist()).pvalue > 0.01
    assert len(from_any[:, 1:].unique()) > 4


def test_a_sample_is_as_likely_as_the_model_says(sharp):
    """The mean NLL of samples is the model's mean entropy where they were drawn."""
    drawn = own_samples(sharp, 400, 10, start=from_nothing(), seed=2, batch_size=100)
    nll = score(sharp, ParagraphSet(drawn, 1, ("",) * 400), 100).token_nll.double()
    with torch.no_grad():
        log_p = sharp(drawn[:, :-1]).logits.double().log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)
    deviation = (nll - entropy).flatten()
    assert abs(float(deviation.mean())) < 3 * float(deviation.std()) / len(deviation) ** 0.5


def told(bos=None, eos=None, vocab=None):
    return SimpleNamespace(
        bos_token_id=bos,
        eos_token_id=eos,
        get_vocab=lambda: vocab,
        all_special_ids=[one for one in (bos, eos) if one is not None],
        added_tokens_decoder={30: SimpleNamespace(special=True), 31: SimpleNamespace(special=False)},
    )


@pytest.mark.parametrize(
    ("of_tokenizer", "of_model", "begins"),
    [
        ((7, 8), (0, 1), (7,)),
        ((None, 8), (4, 1), (4,)),
        ((None, 8), (None, 1), (8,)),
        ((None, None), (None, [6, 9]), (6,)),
        ((None, None), (None, None), ()),
        ((None, None), (50256, 50256), ()),  # GPT-2's habit, beyond this vocabulary
    ],
)
def test_where_samples_begin(of_tokenizer, of_model, begins):
    model = tiny_architectures.tiny_model("gpt2")
    model.config.bos_token_id, model.config.eos_token_id = of_model
    tokenizer = told(*of_tokenizer, {str(token): token for token in range(50)} | {"far": 99})
    start = start_of(model, tokenizer)
    assert start.ids == begins and start.tokens.nonzero().flatten().tolist() == list(range(50))
    special = [*(token for token in of_tokenizer if token is not None), 30]
    assert not start.first[special].any() and int(start.first.sum()) >= 45
    assert start_of(model, tokenizer, (5, 6)).ids == (5, 6)
    alone = start_of(model, None)
    assert alone.tokens.all() and len(alone.tokens) == V


def test_what_seems_memorized_by_hand():
    generator = torch.Generator().manual_seed(0)
    ratio = torch.rand(250, generator=generator, dtype=torch.float64)
    em = torch.full((250,), 9)
    lowest = sorted(range(250), key=lambda row: float(ratio[row]))[:2]
    assert seems_memorized(em, ratio, 9).nonzero().flatten().tolist() == sorted(lowest)
    em[lowest[0]] = 8  # the surest of all is not what greedy decoding says
    assert seems_memorized(em, ratio, 9).nonzero().flatten().tolist() == [lowest[1]]
    assert not seems_memorized(em[:99], ratio[:99], 9).any()  # 1 % of 99 is no row
    assert int(seems_memorized(torch.full((100,), 3), torch.zeros(100), 3).sum()) == 1  # of equal ones the first
