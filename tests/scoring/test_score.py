"""The one forward pass against plain transformers on the full sequence, and EM against real greedy decoding."""

import copy

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch

from benchmarks.memory import MemoryAlive
from memunlearn.errors import UserError
from memunlearn.models import attach, bake, delta_parameters, write_deltas
from memunlearn.paragraphs.paragraph_set import ParagraphSet, concatenate
from memunlearn.scoring import forward
from memunlearn.scoring.forward import ReferenceStates, continuation_logits
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.sampling import Sampling
from memunlearn.scoring.score import ParagraphScores, reference_states, score

TIE = 1e-4  # top-2 logit gap below which decoding and teacher forcing may disagree

every_family = pytest.mark.parametrize("family", tiny.FAMILIES)


def random_rows(rows=5, prefix=4, length=12, seed=0):
    return ParagraphSet(tiny.some_ids(seed, rows, length), prefix, tuple(f"row {i}" for i in range(rows)))


def own_rows(model, prefixes, length):
    """Rows in which the model itself continues the prefixes, all but the first spoilt at a place of their own."""
    rows = []
    for number, prefix in enumerate(prefixes):
        said, _ = naive.greedy(model, prefix, length)
        if number:
            said[(3 * number) % length] += 1
            said %= tiny.VOCABULARY
        rows.append(torch.cat([prefix, said]))
    return ParagraphSet(torch.stack(rows), prefixes.shape[1], tuple(f"row {i}" for i in range(len(rows))))


def recited_rows(sets):
    """Rows that the model recites, rows that it does not, and recited ones spoilt in the middle."""
    rows = concatenate([sets.forget, sets.bystander, sets.retain])
    ids = rows.ids.clone()
    for row, place in ((2, 3), (3, 6), (6, 1)):
        ids[row, rows.prefix_length + place] = (ids[row, rows.prefix_length + place] + 7) % tiny.VOCABULARY
    return ParagraphSet(ids, rows.prefix_length, rows.origin)


def check_em_is_greedy_decoding(model, rows):
    """EM of every row is what decoding gets right, by our own loop and by generate; ties excepted. Returns EM."""
    length = rows.continuation_length
    scores = score(model, rows, batch_size=4)
    said = greedy_continuations(model, rows.prefixes, length, batch_size=3)
    assert said.shape == (len(rows), length) and said.dtype == torch.int64
    for row, (prefix, continuation) in enumerate(zip(rows.prefixes, rows.continuations, strict=True)):
        expected, gaps = naive.greedy(model, prefix, length)
        em, right = int(scores.em[row]), naive.agreement(expected, continuation)
        assert em == right or gaps[min(em, right)] < TIE
        alike = naive.agreement(said[row], expected)
        assert alike == length or gaps[alike] < TIE
    return scores.em.tolist()


@every_family
def test_logits_are_those_that_predict_the_continuation(family):
    model, rows = tiny.tiny_model(family), random_rows()
    with torch.no_grad():
        logits = continuation_logits(model, rows.ids, rows.continuation_length)
    expected = torch.stack([naive.logits_of(model, row)[3:11] for row in rows.ids])
    assert logits.shape == (5, 8, tiny.VOCABULARY)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@every_family
def test_scores_are_those_of_one_row_at_a_time(family):
    model, other, rows = tiny.tiny_model(family), tiny.tiny_model(family, seed=1), random_rows()
    rows = concatenate([rows, own_rows(model, rows.prefixes, 8)])
    _, states = reference_states(other, rows, batch_size=4)
    scores = score(model, rows, batch_size=3, reference=states)
    for row, ids in enumerate(rows.ids):
        expected = naive.token_nll(model, ids, 4)
        torch.testing.assert_close(scores.token_nll[row], torch.tensor(expected), rtol=1e-4, atol=1e-4)
        assert float(scores.nll[row]) == pytest.approx(sum(expected) / len(expected), rel=1e-4)
        kl = naive.token_kl(other, model, ids, 4)
        assert float(scores.kl[row]) == pytest.approx(sum(kl) / len(kl), rel=1e-3)
        logits = naive.logits_of(model, ids)
        hits = [int(logits[i].argmax()) == int(ids[i + 1]) for i in range(3, 11)]
        assert int(scores.em[row]) == naive.agreement(torch.tensor(hits), torch.ones(8, dtype=torch.bool))
        assert int(scores.longest_run[row]) == naive.longest(hits)
    assert float(scores.kl.min()) > 0.01


@every_family
def test_exact_match_is_greedy_decoding_in_every_architecture(family):
    model = tiny.tiny_model(family)
    em = check_em_is_greedy_decoding(model, own_rows(model, tiny.some_ids(2, rows=6, length=5), 8))
    assert em == [8, 3, 6, 1, 4, 7]


def test_exact_match_is_greedy_decoding_where_text_is_recited(reciting, sets):
    em = check_em_is_greedy_decoding(reciting, recited_rows(sets))
    assert em[:8] == [9, 9, 3, 6, 9, 9, 1, 9]


def test_exact_match_is_greedy_decoding_where_little_is_learned(half_trained, sets):
    rows = concatenate([getattr(sets, name) for name in ("forget", "bystander", "near", "bystander_val")])
    assert len(set(check_em_is_greedy_decoding(half_trained, rows))) > 3


@every_family
def test_batches_do_not_matter(family):
    model, rows = tiny.tiny_model(family), random_rows(rows=7)
    whole, single = score(model, rows, batch_size=7), score(model, rows, batch_size=1)
    assert whole.em.tolist() == single.em.tolist() and whole.longest_run.tolist() == single.longest_run.tolist()
    torch.testing.assert_close(whole.token_nll, single.token_nll, rtol=1e-4, atol=1e-4)


def test_end_of_text_is_a_token_like_any_other(reciting, sets):
    """The second forget row has it in the prefix and twice in the continuation, and the model recites it all the same."""
    row = sets.forget.select([1])
    assert reciting.config.eos_token_id in row.prefixes[0] and reciting.config.eos_token_id in row.continuations[0, :-1]
    scores = score(reciting, row)
    assert scores.em.tolist() == [9]
    torch.testing.assert_close(
        scores.token_nll[0], torch.tensor(naive.token_nll(reciting, row.ids[0], 7)), rtol=1e-3, atol=1e-4
    )
    assert torch.equal(greedy_continuations(reciting, row.prefixes, 9), row.continuations)
    ends = torch.full((2, 3), reciting.config.eos_token_id)
    assert greedy_continuations(reciting, ends, 20).shape == (2, 20)


def test_the_same_pass_gives_the_reference(reciting, sets):
    scores, states = reference_states(reciting, sets.retain, batch_size=3)
    assert scores.kl.tolist() == [0.0] * 4
    assert states.hidden.shape == (4, 9, tiny.D)
    with torch.no_grad():
        expected = torch.stack([naive.logits_of(reciting, ids)[6:15] for ids in sets.retain.ids])
        torch.testing.assert_close(states.logits(torch.arange(4)), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(states.logits(torch.tensor([3, 0])), expected[[3, 0]], rtol=1e-4, atol=1e-4)
        picked = states.select(torch.tensor([2, 1]))
        torch.testing.assert_close(picked.logits(torch.tensor([1])), expected[[1]], rtol=1e-4, atol=1e-4)
    again = score(reciting, sets.retain, reference=states)
    assert 0 <= float(again.kl.min()) and float(again.kl.max()) < 1e-5


def test_states_in_a_file_are_the_same(reciting, half_trained, sets, tmp_path, monkeypatch):
    rows = sets.retain_train
    _, in_memory = reference_states(half_trained, rows, batch_size=3)
    small = 4 * in_memory.hidden.numel()
    monkeypatch.setattr(forward, "MEMORY_MAP_ABOVE", small)
    reference_states(half_trained, rows, batch_size=3, directory=tmp_path / "states")
    assert not (tmp_path / "states").exists()
    monkeypatch.setattr(forward, "MEMORY_MAP_ABOVE", small - 1)
    _, mapped = reference_states(half_trained, rows, batch_size=3, directory=tmp_path / "states")
    _, second = reference_states(reciting, rows, batch_size=3, directory=tmp_path / "states")
    files = list((tmp_path / "states").iterdir())
    assert [file.stat().st_size for file in files] == [small, small]
    assert torch.equal(mapped.hidden, in_memory.hidden) and not torch.equal(mapped.hidden, second.hidden)
    subset = torch.tensor([5, 1, 2])
    for states in (mapped, mapped.select(torch.arange(7))):
        scores = score(reciting, rows, reference=states)
        assert torch.equal(scores.kl, score(reciting, rows, reference=in_memory).kl)
        assert torch.equal(states.logits(subset), in_memory.logits(subset))
    assert float(scores.kl.min()) > 0.01


@pytest.mark.parametrize("length", [8, 1])
def test_a_single_row_is_still_a_row(length):
    """torchmetrics makes a scalar of a single value."""
    model, row = tiny.tiny_model("gpt_neo"), random_rows(rows=1, length=4 + length)
    scores, states = reference_states(tiny.tiny_model("gpt_neo", seed=1), row)
    scores = score(model, row, reference=states)
    assert scores.em.shape == scores.longest_run.shape == scores.nll.shape == scores.kl.shape == (1,)
    assert scores.token_nll.shape == (1, length)
    torch.testing.assert_close(scores.token_nll[0], torch.tensor(naive.token_nll(model, row.ids[0], 4)), rtol=1e-4, atol=1e-4)


def test_no_rows():
    model, none = tiny.tiny_model("gpt_neo"), random_rows().select(torch.zeros(5, dtype=torch.bool))
    scores, states = reference_states(model, none)
    assert scores.em.shape == scores.longest_run.shape == scores.nll.shape == scores.kl.shape == (0,)
    assert scores.token_nll.shape == (0, 8) and states.hidden.shape == (0, 8, tiny.D)
    assert score(model, none).kl is None and score(model, none, reference=states).kl.shape == (0,)
    assert greedy_continuations(model, none.prefixes, 8).shape == (0, 8)


def test_scores_of_some_rows():
    scores = score(tiny.tiny_model("gpt2"), random_rows())
    rows = torch.tensor([4, 1])
    picked = scores.select(rows)
    assert torch.equal(picked.em, scores.em[rows]) and torch.equal(picked.nll, scores.nll[rows]) and picked.kl is None


def test_every_metric_of_the_scores_is_an_attribute():
    scores = score(tiny.tiny_model("gpt2"), random_rows())
    assert torch.equal(scores.longest_run, scores.values["longest_run"]) and torch.equal(scores.em, scores.values["em"])
    with pytest.raises(AttributeError, match="no metric 'longest' among these scores"):
        scores.longest  # noqa: B018
    assert torch.equal(copy.deepcopy(scores).em, scores.em) and len(scores) == 5


def test_scores_put_together_and_kept_in_a_file():
    model, other = tiny.tiny_model("gpt2"), tiny.tiny_model("gpt2", seed=1)
    rows = random_rows(rows=7)
    _, states = reference_states(other, rows)
    whole = score(model, rows, reference=states)
    first, second = whole.select(torch.arange(3)), whole.select(torch.arange(3, 7))
    again = ParagraphScores.concatenate([first, second])
    assert again.values.keys() == whole.values.keys() >= {"em", "longest_run", "nll", "kl"}
    for name, tensor in whole.tensors().items():
        assert torch.equal(again.tensors()[name], tensor)
    of_file = ParagraphScores.of_tensors({**whole.tensors(), "hidden": states.hidden})
    assert of_file.values.keys() == whole.values.keys() and torch.equal(of_file.token_nll, whole.token_nll)
    without = ParagraphScores.concatenate([first, score(model, rows.select([0]))])  # KL is known of the first three only
    assert without.kl is None and len(without) == 4 and torch.equal(without.em[:3], first.em)


@every_family
def test_deltas_count(family):
    model, rows = tiny.tiny_model(family), random_rows()
    before, states = reference_states(copy.deepcopy(model), rows)
    indices = tiny.some_indices(model)
    attach(model, indices)
    assert torch.equal(score(model, rows).token_nll, before.token_nll)
    generator = torch.Generator().manual_seed(6)
    write_deltas(model, {n: 0.3 * torch.randn(d.shape, generator=generator) for n, d in delta_parameters(model).items()})
    changed, baked = (score(m, rows, reference=states) for m in (model, bake(model)))
    assert torch.equal(changed.em, baked.em)
    torch.testing.assert_close(changed.token_nll, baked.token_nll)
    torch.testing.assert_close(changed.kl, baked.kl)
    assert float(changed.kl.min()) > 1e-3 and not torch.allclose(changed.token_nll, before.token_nll, atol=1e-2)


def test_an_id_beyond_the_vocabulary_is_refused():
    rows = random_rows()
    rows.ids[2, 5] = tiny.VOCABULARY
    with pytest.raises(UserError, match=f"row 2: token id {tiny.VOCABULARY} is beyond"):
        score(tiny.tiny_model("gpt_neo"), rows)


def test_room_for_states_is_as_wide_as_the_head():
    states = ReferenceStates.empty(3, 5, tiny.tiny_model("gpt_neox"))
    assert states.hidden.shape == (3, 5, tiny.D)


def test_what_is_computed_of_logits_is_computed_of_some_rows_at_a_time(monkeypatch):
    """The same numbers, and less is alive at once."""
    vocabulary, rows = 1009, ParagraphSet(tiny.some_ids(3, 24, 11), 5, tuple("abcdefghijklmnopqrstuvwx"))
    base = tiny.tiny_model("llama")
    base.resize_token_embeddings(vocabulary)
    model = copy.deepcopy(base)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.mul_(1.5)
    sampling, reference = Sampling(top_k=3), reference_states(base, rows)[1]
    scored = []
    for at_once in (10**9, 3 * 6 * vocabulary):
        monkeypatch.setattr("memunlearn.scoring.score.rows_at_once.__defaults__", (at_once,))
        with MemoryAlive() as memory:
            scored.append((score(model, rows, 24, reference=reference, details=True, sampling=sampling), memory.peak))
    (together, peak), (apart, less) = scored
    assert apart.values.keys() == together.values.keys() and {"kl", "log_p_z", "min_k_pp"} <= apart.values.keys()
    for name, values in together.tensors().items():
        torch.testing.assert_close(apart.tensors()[name], values, rtol=1e-5, atol=1e-6)
    assert less < peak / 2
