"""Random models of a size, and the rows that they recite."""

import torch

from benchmarks.speed.sizes import SIZES, Lengths, decoded, random_model, random_rows, recited_rows
from memunlearn.models.components import eligible_weights
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.score import score

SIZE, LENGTHS = SIZES["tiny"], Lengths(7, 9)


def test_a_size_counts_the_weights_of_its_model():
    model = random_model(SIZE)
    eligible = sum(weight.shape[0] * weight.shape[1] for weight in eligible_weights(model))
    assert eligible == SIZE.eligible and eligible + model.get_input_embeddings().weight.numel() == SIZE.weights


def test_the_model_is_the_same_each_time():
    first, second = (random_model(SIZE) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_generate_says_exactly_what_greedy_decoding_says():
    model, rows = random_model(SIZE), random_rows(SIZE, LENGTHS, 5)
    assert torch.equal(decoded(model, rows.prefixes, 9), greedy_continuations(model, rows.prefixes, 9))


def test_every_second_row_is_recited_to_the_end_and_the_others_up_to_one_token():
    model = random_model(SIZE)
    rows = recited_rows(model, SIZE, LENGTHS, 6)
    em = score(model, rows).em
    assert em[::2].tolist() == [9, 9, 9] and em[1::2].max() < 9
    said = decoded(model, rows.prefixes, 9)
    assert (said != rows.continuations).sum(1).tolist() == [0, 1, 0, 1, 0, 1]
    assert [int((said[i] != rows.continuations[i]).nonzero()) for i in (1, 3, 5)] == em[1::2].tolist()


def test_rows_of_other_seeds_are_others():
    assert not torch.equal(random_rows(SIZE, LENGTHS, 4, 0).ids, random_rows(SIZE, LENGTHS, 4, 1).ids)
    assert random_rows(SIZE, LENGTHS, 400).ids.unique().tolist() == list(range(SIZE.vocabulary))
