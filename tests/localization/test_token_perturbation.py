"""Perturbation against the plain score of explicitly perturbed ids, and EM against what the model really says."""

import itertools
from dataclasses import replace

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.localization import token_perturbation
from memunlearn.localization.token_perturbation import decode_alternatives, em_drop, perturb_tokens, worst
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.greedy import greedy_continuations
from memunlearn.scoring.score import score

P, C = 7, 9


def recited(model, rows=5, seed=0) -> ParagraphSet:
    """Rows 0 to 2 end in what the model says, the others in random text."""
    ids = torch.randint(1, model.config.vocab_size, (rows, P + C), generator=torch.Generator().manual_seed(seed))
    ids[:3, P:] = greedy_continuations(model, ids[:3, :P], C)
    return ParagraphSet(ids, P, tuple(f"tiny:{row}" for row in range(rows)))


@pytest.mark.parametrize(("family", "reuse"), [*((family, True) for family in (*tiny.FAMILIES, "mistral")), ("gpt_neo", False)])
def test_scores_are_those_of_explicitly_perturbed_ids(family, reuse):
    model = tiny.tiny_model(family)
    if family == "mistral":
        model.config.sliding_window = 4
    paragraphs = recited(model)
    found = perturb_tokens(model, paragraphs, replacements=2, batch_size=6, reuse=reuse)
    before = score(model, paragraphs)
    assert found["em_before"].tolist() == before.em.tolist() and before.em[:3].tolist() == [C] * 3
    torch.testing.assert_close(found["nll_before"], before.nll, rtol=0, atol=1e-4)
    assert found.labels["replacement"] == ("random", "random", "second_likely")
    for number in range(3):
        for position in range(P):
            token = found["tokens"][:, position, number]
            if number == 2 and not position:
                assert (token == -1).all() and found["em"][:, 0, 2].isnan().all() and found["nll"][:, 0, 2].isnan().all()
                continue
            assert (token != paragraphs.ids[:, position]).all()
            ids = paragraphs.ids.clone()
            ids[:, position] = token
            plain = score(model, ParagraphSet(ids, P, paragraphs.origin))
            assert found["em"][:, position, number].tolist() == plain.em.tolist()
            torch.testing.assert_close(found["nll"][:, position, number], plain.nll, rtol=0, atol=1e-4)
    assert (em_drop(found)[:3].nan_to_num() > 0).any()


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_keys_and_values_are_reused(family):
    model = tiny.tiny_model(family)
    paragraphs = recited(model)
    lengths = []
    handle = model.register_forward_pre_hook(
        lambda _module, _args, inputs: lengths.append(inputs["input_ids"].shape[1]), with_kwargs=True
    )
    perturb_tokens(model, paragraphs, second_likely=False, batch_size=8)
    handle.remove()
    full = P + C - 1
    # One pass as it is, two that check that reuse is right, one a position.
    assert lengths == [full, full, full - P + 1, *(full - position for position in range(P))]


def test_a_model_that_disagrees_gets_the_plain_pass(monkeypatch):
    model = tiny.tiny_model("gpt2")
    paragraphs = recited(model)
    right = perturb_tokens(model, paragraphs, reuse=False)
    forward = type(model).forward

    def forgetful(self, *args, **kwargs):
        past = kwargs.get("past_key_values")
        if past is not None and past.get_seq_length():
            kwargs["past_key_values"] = None
            kwargs["attention_mask"] = None
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(model), "forward", forgetful)
    assert torch.equal(perturb_tokens(model, paragraphs)["em"].nan_to_num(), right["em"].nan_to_num())
    monkeypatch.setattr(token_perturbation, "SAME", 1e9)
    assert not torch.equal(perturb_tokens(model, paragraphs)["em"].nan_to_num(), right["em"].nan_to_num())


def test_em_is_how_far_real_decoding_agrees():
    model = tiny.tiny_model("gpt_neo")
    paragraphs = recited(model)
    found = perturb_tokens(model, paragraphs)
    for position in range(P):
        for number in range(2):
            if number and not position:
                continue
            prefixes = paragraphs.prefixes.clone()
            prefixes[:, position] = found["tokens"][:, position, number]
            said = greedy_continuations(model, prefixes, C)
            for row in range(5):
                agreeing = 0
                while agreeing < C and said[row, agreeing] == paragraphs.continuations[row, agreeing]:
                    agreeing += 1
                assert found["em"][row, position, number] == agreeing


def test_second_likely_is_the_best_token_that_is_not_there():
    model = tiny.tiny_model("llama")
    paragraphs = recited(model)
    ids = paragraphs.ids.clone()
    with torch.no_grad():
        ids[0, 3] = model(ids[:1]).logits[0, 2].argmax()  # here the most likely token is the one that stands there
        logits = model(ids).logits
    found = perturb_tokens(model, ParagraphSet(ids, P, paragraphs.origin), replacements=0)
    assert found.labels["replacement"] == ("second_likely",)
    for row in range(5):
        for position in range(1, P):
            ranked = logits[row, position - 1].argsort(descending=True).tolist()
            ranked.remove(int(ids[row, position]))
            assert found["tokens"][row, position, 0] == ranked[0]


def test_worst_is_the_lowest_em_and_the_alternative_the_first_that_no_longer_recites():
    model = tiny.tiny_model("gpt_neox")
    paragraphs = recited(model)
    found = perturb_tokens(model, paragraphs, replacements=2, seed=4)
    position, number = worst(found)
    number_of_alternative, said = decode_alternatives(model, paragraphs, found, batch_size=3)
    passed_over = 0
    for row in range(5):
        em = found["em"][row].nan_to_num(nan=torch.inf)
        assert em[position[row], number[row]] == em.min()
        assert found["nll"][row][position[row], number[row]] == found["nll"][row][em == em.min()].max()
        tried = sorted(
            (float(found["em"][row, at, kind]), -float(found["nll"][row, at, kind]), at, kind)
            for at in range(P)
            for kind in range(len(found.labels["replacement"]))
            if found["tokens"][row, at, kind] >= 0
        )
        assert tried[0][2:] == (position[row], number[row])
        for _, _, at, kind in tried:
            prefix = paragraphs.prefixes[row : row + 1].clone()
            prefix[0, at] = found["tokens"][row, at, kind]
            text = greedy_continuations(model, prefix, C)[0]
            if naive.common_run(text, paragraphs.continuations[row]) <= C / 5:
                assert int(number_of_alternative[row]) == at * len(found.labels["replacement"]) + kind
                assert torch.equal(said[row], text)
                break
            passed_over += 1
        else:
            assert int(number_of_alternative[row]) == -1 and torch.equal(said[row], paragraphs.continuations[row])
    assert passed_over and bool((number_of_alternative >= 0).any())


def test_seeds_and_empty_sets():
    model = tiny.tiny_model("gpt2")
    paragraphs = recited(model)
    first, again, other = (perturb_tokens(model, paragraphs, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first["tokens"], again["tokens"]) and torch.equal(first["nll"].nan_to_num(), again["nll"].nan_to_num())
    assert not torch.equal(first["tokens"][..., 0], other["tokens"][..., 0])
    none = perturb_tokens(model, paragraphs.select(torch.empty(0, dtype=torch.int64)))
    assert none["em"].shape == (0, P, 2) and decode_alternatives(model, paragraphs.select([]), none)[1].shape == (0, C)


@pytest.mark.parametrize("second_likely", [True, False])
def test_what_stands_before_the_text_is_left_alone(second_likely):
    model = tiny.tiny_model("gpt_neo")
    paragraphs = recited(model)
    plain = perturb_tokens(model, paragraphs, second_likely=second_likely)
    for start in (1, 3):
        found = perturb_tokens(model, replace(paragraphs, text_start=start), second_likely=second_likely)
        assert (found["tokens"][:, :start] == -1).all() and found["em"][:, :start].isnan().all()
        assert torch.equal(found["tokens"][:, start:], plain["tokens"][:, start:])
        assert torch.equal(found["em"][:, start:], plain["em"][:, start:]) and int(worst(found)[0].min()) >= start
    with pytest.raises(UserError, match="the prefix is BOS alone"):
        perturb_tokens(model, replace(paragraphs, text_start=P), second_likely=second_likely)


def test_nothing_is_replaced_by_what_no_text_can_hold():
    """A vocabulary that is padded beyond id 20: neither drawn, nor taken for the second most likely; an end may be that."""
    model, never = tiny.tiny_model("gpt_neo"), [0, *range(21, tiny.VOCABULARY)]
    paragraphs = ParagraphSet(tiny.some_ids(2, 3, P + C), P, tuple("abc"))
    found = perturb_tokens(model, paragraphs, 4, never=never)["tokens"]
    drawn, likely = found[..., :4], found[..., 4]
    assert set(drawn.flatten().tolist()) <= set(range(1, 21))
    assert set(likely.flatten().tolist()) <= {-1, *range(21)}
    with torch.no_grad():
        logits = model(input_ids=paragraphs.ids).logits[:, : P - 1, :21]
    ids = paragraphs.ids[:, 1:P]
    for row, position in itertools.product(range(3), range(P - 1)):
        best = max((t for t in range(21) if t != ids[row, position]), key=lambda t: float(logits[row, position, t]))
        assert int(likely[row, position + 1]) == best
    assert bool((perturb_tokens(model, paragraphs, 4)["tokens"] > 20).any())
