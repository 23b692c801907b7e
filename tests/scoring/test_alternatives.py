"""Alternatives, recomputed for every row by loops over positions; docs/published_code.md, points 2, 3 and 10."""

from dataclasses import replace

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.alternatives import choose_perturbations, draw_replacements, find_alternatives

quick = settings(max_examples=100, deadline=None)


@quick
@given(
    vocabulary=st.integers(3, 9),
    rows=st.integers(1, 4),
    length=st.integers(1, 6),
    replacements=st.integers(1, 5),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_a_replacement_is_another_token_and_never_the_forbidden_one(vocabulary, rows, length, replacements, seed, data):
    never = data.draw(st.lists(st.integers(0, vocabulary + 1), max_size=vocabulary - 2))
    prefixes = torch.randint(0, vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))
    drawn = draw_replacements(prefixes, vocabulary, never, replacements, seed)
    assert drawn.shape == (rows, length, replacements) and drawn.dtype == torch.int64
    assert bool(((drawn >= 0) & (drawn < vocabulary)).all())
    assert bool((drawn != prefixes.unsqueeze(-1)).all())  # position 0 is no exception
    assert not set(drawn.flatten().tolist()) & set(never)
    assert torch.equal(drawn, draw_replacements(prefixes, vocabulary, never, replacements, seed))


@pytest.mark.parametrize("never", [[], [0], [2], [3], [6], [3, 1], [5, 0, 6]], ids=str)
def test_every_other_token_is_drawn_equally_often(never):
    prefixes = torch.tensor([[3, 0, 6]])
    drawn = draw_replacements(prefixes, 7, never, replacements=6000, seed=1)
    for position, present in enumerate(prefixes[0].tolist()):
        allowed = [token for token in range(7) if token != present and token not in never]
        counts = torch.bincount(drawn[0, position], minlength=7)
        assert counts.nonzero().flatten().tolist() == allowed
        expected = 6000 / len(allowed)
        # The standard deviation of a count is below sqrt(expected).
        assert all(abs(int(counts[token]) - expected) < 5 * expected**0.5 for token in allowed)


def test_another_seed_draws_other_tokens():
    prefixes = tiny.some_ids(1, rows=3, length=8)
    assert not torch.equal(draw_replacements(prefixes, 61, [0], 2, seed=0), draw_replacements(prefixes, 61, [0], 2, seed=1))


def naive_alternative(model, row, p, candidates, start=0):
    """(found, position, token, EM of the original continuation, what the model says): of those that do not recite C/5 tokens in
    a row, the first with the lowest EM; where there is none, of all."""
    tried = []
    for position, tokens in enumerate(candidates.tolist(), start):
        for token in tokens:
            prefix = row[:p].clone()
            prefix[position] = token
            said, _ = naive.greedy(model, prefix, len(row) - p)
            tried.append((naive.agreement(said, row[p:]), position, token, said))
    tried.sort(key=lambda one: one[0])
    for em, position, token, said in tried:
        if naive.common_run(said, row[p:]) <= (len(row) - p) / 5:
            return True, position, token, em, said
    em, position, token, _ = tried[0]
    return False, position, token, em, row[p:]


@pytest.mark.parametrize("replacements", [1, 2])
def test_every_row_against_the_loop(reciting, sets, replacements):
    """published_code.md, 2: row i's alternative is that of row i. published_code.md, 3: it follows the original prefix."""
    rows = sets.forget
    found = find_alternatives(reciting, rows, replacements, seed=5, batch_size=4)
    drawn = draw_replacements(rows.prefixes, tiny.VOCABULARY, [reciting.config.eos_token_id], replacements, seed=5)
    assert torch.equal(found.paragraphs.prefixes, rows.prefixes)
    assert found.paragraphs.origin == rows.origin and found.paragraphs.prefix_length == rows.prefix_length
    for row, ids in enumerate(rows.ids):
        there, position, token, em, said = naive_alternative(reciting, ids, 7, drawn[row])
        assert (int(found.position[row]), int(found.token[row]), int(found.em[row])) == (position, token, em)
        assert torch.equal(found.paragraphs.continuations[row], said)
        assert bool(found.found[row]) == there
    assert found.found.dtype == torch.bool and bool(found.found.any())
    assert len({tuple(said) for said in found.paragraphs.continuations.tolist()}) > 1


def test_a_perturbation_of_the_first_token_can_be_the_one_that_is_kept(reciting, sets):
    positions = [find_alternatives(reciting, sets.forget, seed=seed).position for seed in range(6)]
    assert 0 in torch.cat(positions)


def test_the_seed_decides(reciting, sets):
    one, again, other = (find_alternatives(reciting, sets.forget, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.paragraphs.ids, again.paragraphs.ids) and torch.equal(one.token, again.token)
    assert not torch.equal(one.token, other.token)


def test_more_replacements_never_leave_more_of_the_original(reciting, sets):
    """Not the same draws, but the lowest EM of 8 tries a position is far below that of one."""
    few, many = (find_alternatives(reciting, sets.forget, replacements, seed=1) for replacements in (1, 8))
    assert int(many.em.sum()) <= int(few.em.sum()) and int(many.em.max()) < 9


def says_the_same_whatever_came_before(token):
    model = tiny.tiny_model("gpt_neo")
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(model.lm_head.weight[token])
        model.lm_head.weight[token] *= 3
    return model


def test_nothing_is_found_where_no_perturbation_changes_anything():
    model = says_the_same_whatever_came_before(17)
    ids = tiny.some_ids(2, rows=3, length=11)
    ids[:, 5:] = 17
    ids[1, 5:] = torch.tensor([4, 17, 3, 4, 17, 3])  # not what the model says: there is an alternative to it
    ids[2, 5:] = torch.tensor([4, 17, 17, 17, 17, 17])  # nor this, but EM is 0 and five tokens in a row are recited
    rows = ParagraphSet(ids, 5, ("a", "b", "c"))
    found = find_alternatives(model, rows)
    assert found.found.tolist() == [False, True, False]
    assert found.em.tolist() == [6, 0, 0]
    assert torch.equal(found.paragraphs.ids[[0, 2]], ids[[0, 2]])
    assert found.paragraphs.continuations[1].tolist() == [17] * 6


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_targets_that_still_recite_are_passed_over_one_by_one(monkeypatch, batch_size):
    """Row by row: the lowest EM first, then the next, until C/5 tokens in a row (here 2 of 10) are not exceeded."""
    length, originals = 10, torch.arange(100, 130).view(3, 10)
    shared = [[9, 5, 3, 2, 0], [4, 4, 4, 4, 4], [1, 9, 9, 9, 9]]  # tokens in a row kept under perturbation k of each row

    def says(prefix):
        row, place = divmod(prefix[-1], 10)
        kept = shared[row][place]
        return [*range(length - kept), *originals[row, length - kept :].tolist()]

    decoded = []

    def greedy(model, prefixes, length, batch_size, description=None):
        decoded.append(len(prefixes))
        return torch.tensor([says(prefix.tolist()) for prefix in prefixes])

    monkeypatch.setattr("memunlearn.scoring.alternatives.greedy_continuations", greedy)
    prefixes = torch.tensor([[7, 50], [8, 50], [9, 50]])
    rows = ParagraphSet(torch.cat([prefixes, originals], 1), 2, ("a", "b", "c"))
    tokens = torch.tensor([[0, 1, 2, 3, 4], [10, 11, 12, 13, 14], [20, 21, 22, 23, 24]])
    positions, em = torch.ones(5, dtype=torch.int64), torch.tensor([[0, 0, 1, 1, 2], [0, 1, 2, 3, 9], [0, 0, 0, 0, 0]])
    order = em.argsort(dim=1, stable=True)
    chosen, said = choose_perturbations(None, rows, positions, tokens=tokens, em=em, order=order, batch_size=batch_size)
    assert chosen.tolist() == [3, -1, 0]  # the first row's has two tokens; the last of row b is not even decoded
    assert said.tolist() == [says([7, 3]), originals[1].tolist(), says([9, 20])]
    # The rows: 4 + 3 + 1 texts where each is tried by itself; never more than a batch beyond that.
    assert sum(decoded) <= 8 + batch_size and (batch_size > 1 or sum(decoded) == 8)


def test_several_ends_of_text_are_all_left_out(sets):
    """Newer checkpoints have a list of them."""
    model = tiny.tiny_model("llama")
    ends = list(range(58))
    model.config.eos_token_id = ends
    found = find_alternatives(model, sets.forget, replacements=2)
    assert not set(found.token.tolist()) & set(ends)


def test_a_single_row_and_none(reciting, sets):
    whole = find_alternatives(reciting, sets.forget.select([0]), seed=2)
    assert whole.position.shape == whole.token.shape == whole.em.shape == whole.found.shape == (1,)
    none = find_alternatives(reciting, sets.forget.select(torch.zeros(5, dtype=torch.bool)))
    assert none.found.shape == none.position.shape == (0,) and none.paragraphs.ids.shape == (0, 16)


def test_what_stands_before_the_text_is_never_perturbed(reciting, sets):
    plain = [find_alternatives(reciting, sets.forget, seed=seed).position for seed in range(6)]
    assert 0 in torch.cat(plain)  # as text the first token is
    drawn = draw_replacements(sets.forget.prefixes, tiny.VOCABULARY, [reciting.config.eos_token_id], 1, seed=5)
    for start in (1, 5):
        rows = replace(sets.forget, text_start=start)
        found = find_alternatives(reciting, rows, 1, seed=5, batch_size=4)
        assert int(found.position.min()) >= start
        for row, ids in enumerate(rows.ids):
            # The loop over the rest of the prefix, the beginning being part of what the model is given.
            there, position, token, em, _ = naive_alternative(reciting, ids, 7, drawn[row, start:], start)
            assert (int(found.position[row]), int(found.token[row]), int(found.em[row])) == (position, token, em)
            assert bool(found.found[row]) == there
    with pytest.raises(UserError, match="the prefix is BOS alone"):
        find_alternatives(reciting, replace(sets.forget, text_start=7))


def test_no_token_is_drawn_that_no_text_can_hold(reciting, sets):
    allowed = [3, 9, 14, 60]
    found = find_alternatives(reciting, sets.forget, 3, seed=2, never=sorted(set(range(tiny.VOCABULARY)) - set(allowed)))
    assert set(found.token.tolist()) <= set(allowed)
    plain = find_alternatives(reciting, sets.forget, 3, seed=2)
    assert torch.equal(find_alternatives(reciting, sets.forget, 3, seed=2, never=[0]).token, plain.token)
