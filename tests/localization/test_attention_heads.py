"""Attention statistics against an explicit forward with output_attentions, scipy, numpy and sums written out."""

import numpy as np
import pytest
import tiny_architectures as tiny
import torch
from scipy.stats import entropy, kendalltau

from memunlearn.errors import UserError
from memunlearn.localization.attention_heads import (
    attention_heads,
    by_rank,
    eager_attention,
    frequency_of_text,
    frequency_ranks,
    head_correlation,
)

P = 9
SETS = torch.tensor([0, 0, 1, 1, 1, 2])
FREQUENCY = torch.randint(1, 6, (tiny.VOCABULARY,), generator=torch.Generator().manual_seed(8))  # many ties


def prefixes() -> torch.Tensor:
    ids = tiny.some_ids(rows=6, length=P)
    ids[:, 5] = ids[:, 2]  # a token that occurs twice
    return ids


def plain_attention(model, ids) -> np.ndarray:
    with torch.no_grad():
        layers = model(ids, output_attentions=True).attentions
    return np.stack([layer[:, :, -1].double().numpy() for layer in layers], 1)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_number_is_that_of_a_naive_version(family):
    model, ids = tiny.tiny_model(family), prefixes()
    attention, occurrences = plain_attention(model, ids), FREQUENCY[ids].numpy()
    found = attention_heads(model, ids, FREQUENCY, sets=SETS, batch_size=4)
    np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)
    first = [P - 4 if family == "gpt_neo" and layer == 1 else 0 for layer in range(tiny.LAYERS)]  # window 4
    assert found["visible"].tolist() == [P - start for start in first]
    for layer, start in enumerate(first):
        for head in range(tiny.HEADS):
            for row in range(6):
                there = attention[row, layer, head, start : P - 1]  # not the last token's to itself
                np.testing.assert_allclose(found["attention"][row, layer, head, start : P - 1].numpy(), there, rtol=1e-5)
                assert found["attention"][row, layer, head, [*range(start), P - 1]].isnan().all()
                tau = kendalltau(there, occurrences[row, start : P - 1]).statistic
                assert found["tau"][row, layer, head].item() == pytest.approx(tau)
                assert found["entropy"][row, layer, head].item() == pytest.approx(
                    entropy(attention[row, layer, head]), abs=1e-6
                )
        for row in range(6):
            of_row = np.corrcoef(attention[row, layer, :, start : P - 1])
            others = (of_row.sum(1) - 1) / (tiny.HEADS - 1)
            np.testing.assert_allclose(found["with_others"][row, layer].numpy(), others, rtol=1e-4, atol=1e-6)
        for sets in ([0], [1], [0, 1, 2]):
            member = np.isin(SETS.numpy(), sets)
            values = attention[member, layer, :, start : P - 1]
            centred = (values - values.mean(-1, keepdims=True)).transpose(1, 0, 2).reshape(tiny.HEADS, -1)
            np.testing.assert_allclose(head_correlation(found, sets)[layer].numpy(), np.corrcoef(centred), rtol=1e-4, atol=1e-6)
            of_ranks = {}
            for row in np.flatnonzero(member):
                distinct = sorted(set(occurrences[row].tolist()))
                for position in range(start, P - 1):
                    rank = distinct.index(occurrences[row, position])
                    of_ranks.setdefault(rank, []).append(attention[row, layer, :, position])
            for rank in range(P):
                mean = np.mean(of_ranks[rank], 0) if rank in of_ranks else np.full(tiny.HEADS, np.nan)
                np.testing.assert_allclose(by_rank(found, sets)[layer, :, rank].numpy(), mean, rtol=1e-4)


def test_a_window_is_seen_in_the_attention_and_in_the_config():
    model = tiny.tiny_model("gpt_neo")
    assert model.config.attention_layers == ["global", "local"] and model.config.window_size == 4
    attention = attention_heads(model, prefixes(), FREQUENCY, sets=SETS)["attention"]
    assert attention[:, 1, :, : P - 4].isnan().all() and not attention[:, 1, :, P - 4 : P - 1].isnan().any()
    assert not attention[:, 0, :, : P - 1].isnan().any()


def test_ties_share_a_rank():
    assert frequency_ranks(torch.tensor([[5.0, 1, 5, 9, 1], [2, 2, 2, 2, 2]])).tolist() == [[1, 0, 1, 2, 0], [0] * 5]


def test_what_the_last_token_keeps_for_itself_does_not_count():
    model, ids = tiny.tiny_model("gpt2"), prefixes()
    plain = attention_heads(model, ids, FREQUENCY, sets=SETS)
    other = FREQUENCY.clone()
    last = ids[:, -1].tolist()
    elsewhere = set(ids[:, :-1].flatten().tolist())
    assert any(token not in elsewhere for token in last)
    other[[token for token in last if token not in elsewhere]] += 1000
    assert torch.equal(attention_heads(model, ids, other, sets=SETS)["tau"], plain["tau"])
    one = attention_heads(model, ids[:1, -1:], FREQUENCY, sets=SETS[:1])
    assert one["tau"].isnan().all() and one["entropy"].abs().max() < 1e-6 and one["rank_counts"].sum() == 0


def test_rows_weigh_as_they_are_told():
    model, ids = tiny.tiny_model("gpt_neo"), prefixes()
    twice = torch.cat([ids, ids[:1]])
    sets = torch.cat([SETS, SETS[:1]])
    weights = torch.tensor([0.5, 1, 1, 1, 1, 1, 0.5])
    once, shared = (
        attention_heads(model, ids, FREQUENCY, sets=SETS),
        attention_heads(model, twice, FREQUENCY, sets=sets, batch_size=4, weights=weights),
    )
    for name in ("rank_sums", "rank_counts", "co_sums"):
        torch.testing.assert_close(once[name], shared[name], rtol=1e-5, atol=1e-7)


def test_the_model_is_as_it_was():
    model = tiny.tiny_model("llama")
    model.set_attn_implementation("sdpa")
    eager = attention_heads(model, prefixes(), FREQUENCY, sets=SETS)
    assert model.config._attn_implementation == "sdpa"
    model.set_attn_implementation("eager")
    np.testing.assert_allclose(eager["entropy"], attention_heads(model, prefixes(), FREQUENCY, sets=SETS)["entropy"], rtol=1e-5)
    model.set_attn_implementation("sdpa")
    with pytest.raises(RuntimeError), eager_attention(model):
        raise RuntimeError
    assert model.config._attn_implementation == "sdpa"


def test_batches_do_not_matter():
    model = tiny.tiny_model("gpt2")
    one, two = (attention_heads(model, prefixes(), FREQUENCY, sets=SETS, batch_size=size) for size in (1, 6))
    for name in one.values:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6, equal_nan=True)


def test_doubles_are_made_on_the_cpu(monkeypatch):
    """Not every device has them (MPS)."""
    moved, plain_cpu = [], torch.Tensor.cpu

    def cpu(tensor):
        moved.append(tensor.dtype)
        return plain_cpu(tensor)

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    assert attention_heads(tiny.tiny_model("gpt2"), prefixes(), FREQUENCY, sets=SETS)["tau"].dtype == torch.float64
    assert moved and torch.float64 not in moved


def test_no_attention_weights_is_a_clear_error(monkeypatch):
    model = tiny.tiny_model("gpt2")
    monkeypatch.setattr(model, "set_attn_implementation", lambda name: None)
    model.config._attn_implementation = "sdpa"
    with pytest.raises(UserError, match="attention weights"):
        attention_heads(model, prefixes(), FREQUENCY, sets=SETS)
    with pytest.raises(UserError, match="no paragraph"):
        attention_heads(model, prefixes()[:0], FREQUENCY, sets=SETS[:0])


def test_what_stands_before_the_text_is_no_token_of_it():
    """Every number but the entropy is that of the attention on the text alone, without the last token; and a layer sees what it
    sees, text or not."""
    model, ids = tiny.tiny_model("gpt2"), prefixes()
    attention, occurrences = plain_attention(model, ids)[..., 2:-1], FREQUENCY[ids][:, 2:].numpy()
    found = attention_heads(model, ids, FREQUENCY, sets=SETS, batch_size=4, text_start=2)
    assert found["visible"].tolist() == [P] * tiny.LAYERS
    assert found["attention"][..., :2].isnan().all() and found["attention"][..., -1].isnan().all()
    assert torch.equal(found["entropy"], attention_heads(model, ids, FREQUENCY, sets=SETS)["entropy"])
    ranks = frequency_ranks(torch.from_numpy(occurrences).double())
    sums, counts = torch.zeros(3, tiny.LAYERS, tiny.HEADS, P), torch.zeros(3, P)
    for row in range(6):
        for layer in range(tiny.LAYERS):
            of_row = np.corrcoef(attention[row, layer])
            others = (of_row.sum(1) - 1) / (tiny.HEADS - 1)
            np.testing.assert_allclose(found["with_others"][row, layer].numpy(), others, rtol=1e-4, atol=1e-6)
            for head in range(tiny.HEADS):
                tau = kendalltau(attention[row, layer, head], occurrences[row, :-1]).statistic
                assert found["tau"][row, layer, head].item() == pytest.approx(tau)
                for place in range(P - 3):
                    sums[SETS[row], layer, head, ranks[row, place]] += float(attention[row, layer, head, place])
        for place in range(P - 3):
            counts[SETS[row], ranks[row, place]] += 1
    torch.testing.assert_close(found["rank_sums"].float(), sums)
    torch.testing.assert_close(found["rank_counts"].float(), counts.unsqueeze(1).expand(-1, tiny.LAYERS, -1))
    assert torch.equal(frequency_of_text(FREQUENCY, ids, 0), FREQUENCY[ids].double())
