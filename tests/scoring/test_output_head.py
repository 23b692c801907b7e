"""The base model's distribution from its hidden states, for every architecture: caps, scales and divisors are the model's."""

import copy
from types import SimpleNamespace

import naive_scoring as naive
import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.forward import continuation_logits, continuation_states, head_inputs
from memunlearn.scoring.output_head import OutputHead, check_head
from memunlearn.scoring.score import reference_states, score

P, C = 5, 6
CHANGED = {"gemma2": "cap", "cohere": "scale", "cohere, normalized": "scale", "cohere2": "scale", "granite": "divisor"}


def paragraphs():
    return ParagraphSet(tiny.some_ids(3, 4, P + C), P, tuple("abcd"))


@pytest.mark.parametrize("family", tiny.EVERY)
def test_kl_from_hidden_states_is_that_of_two_whole_passes(family):
    base, rows = tiny.tiny_model(family), paragraphs()
    current = copy.deepcopy(base)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in current.named_parameters():
            if "mlp" in name or "ffn" in name or "fc" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        before, after = (model(input_ids=rows.ids).logits[:, P - 1 : -1].double().log_softmax(-1) for model in (base, current))
    expected = (before.exp() * (before - after)).sum(-1).mean(1)
    _, states = reference_states(base, rows, batch_size=3)
    assert torch.allclose(states.logits(torch.arange(4)).double().log_softmax(-1), before, atol=1e-4)
    found = score(current, rows, batch_size=3, reference=states).kl
    assert float(expected.min()) > 1e-4
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-6)
    assert float(score(base, rows, reference=states).kl.abs().max()) < 1e-6


@pytest.mark.parametrize("family", tiny.EVERY)
def test_final_states_without_logits_are_what_the_head_is_given(family):
    model, ids = tiny.tiny_model(family), paragraphs().ids
    head = model.get_output_embeddings()
    with head_inputs(model) as received:
        logits = continuation_logits(model, ids, C)
    products = []
    hook = head.register_forward_hook(lambda module, inputs, output: products.append(output is inputs[0]))
    states = continuation_states(model, ids, C)
    assert products == [True] and "forward" not in vars(head)  # it gave back what it was given, and is itself again
    assert states.requires_grad and torch.equal(states, received[0])
    hook.remove()
    known = OutputHead.of(model)
    assert known.vocabulary == logits.shape[-1]
    torch.testing.assert_close(known(states), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", tiny.EVERY)
def test_in_mixed_precision_the_base_model_is_no_step_from_itself(family):
    base, rows = tiny.tiny_model(family), paragraphs()
    with torch.autocast("cpu", torch.bfloat16):
        _, states = reference_states(base, rows, batch_size=3)
        with torch.no_grad():
            logits = base(input_ids=rows.ids).logits[:, P - 1 : -1]
        assert torch.equal(states.logits(torch.arange(4)), logits)
        assert float(score(base, rows, reference=states).kl.abs().max()) == 0


@pytest.mark.parametrize("family", tiny.EVERY)
def test_what_is_done_after_the_product_is_known_from_the_config(family):
    head = OutputHead.of(tiny.tiny_model(family))
    changed = {name for name in ("cap", "scale", "divisor") if getattr(head, name) is not None}
    assert changed == ({CHANGED[family]} if family in CHANGED else set())
    assert head.width == tiny.D and head.device == torch.device("cpu")


def test_the_cap_is_the_formula():
    hidden = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    product = torch.nn.Linear(4, 7, bias=False)
    with torch.no_grad():
        found = OutputHead(product, cap=0.5, scale=3.0, divisor=2.0)(hidden)
        plain = OutputHead(product)(hidden)
    assert torch.equal(plain, hidden @ product.weight.T)
    torch.testing.assert_close(found, 0.5 * torch.tanh(3 * plain / (2 * 0.5)))
    assert float(found.abs().max()) < 0.5 < float(plain.abs().max())


def test_a_scale_of_one_percent_is_noticed():
    model, hidden = tiny.tiny_model("llama"), torch.randn(2, 3, tiny.D, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model.get_output_embeddings()(hidden)
        check_head(model, hidden, logits)
        with pytest.raises(UserError, match="not known here.*scored.*not unlearned"):
            check_head(model, hidden, 1.01 * logits)


def test_logits_that_are_changed_in_another_way_are_scored_but_not_kept(monkeypatch):
    model, rows = tiny.tiny_model("gemma2"), paragraphs()
    monkeypatch.setattr("memunlearn.scoring.output_head.text_config", lambda model: SimpleNamespace())
    with pytest.raises(UserError, match="Gemma2ForCausalLM changes its logits"):
        reference_states(model, rows)
    scores = score(model, rows)
    torch.testing.assert_close(scores.token_nll[0], torch.tensor(naive.token_nll(model, rows.ids[0], P)), rtol=1e-4, atol=1e-4)
