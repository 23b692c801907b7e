"""What a run does with a model, on a tiny random one of every architecture: patch, bake, decode, attend, take a step."""

import copy
import itertools
import warnings
from collections import Counter

import lightning
import pytest
import tiny_architectures as tiny
import torch
from transformers import AutoModelForCausalLM

from memunlearn.localization.activation_gradients import activation_gradients
from memunlearn.localization.attention_heads import attention_heads
from memunlearn.localization.parameter_gradients import parameter_gradients
from memunlearn.masks import select_all, select_random
from memunlearn.models import (
    KINDS,
    Filter,
    apply_patch,
    attach,
    capture_patch,
    delta_parameters,
    eligible_weights,
    load_model,
    load_patch,
    locate,
    remove_patch,
    save_baked,
    save_patch,
)
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.greedy import greedy_continuations, own_continuations
from memunlearn.scoring.score import score
from memunlearn.unlearning.kfac import Kfac
from memunlearn.unlearning.preparation import prepare
from memunlearn.unlearning.training import unlearn

P, C = 6, 7


@pytest.fixture(params=tiny.EVERY)
def model(request):
    return tiny.tiny_model(request.param)


def logits(model):
    with torch.no_grad():
        return model(input_ids=tiny.some_ids(9)).logits


def test_a_patch_makes_a_plain_checkpoint_and_can_be_taken_away(model, tmp_path):
    before = logits(model)
    changed = copy.deepcopy(model)
    attach(changed, tiny.some_indices(changed))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for delta in delta_parameters(changed).values():
            delta.copy_(0.1 * torch.randn(delta.shape, generator=generator))
    expected = logits(changed)
    assert float((expected - before).abs().max()) > 1e-2
    save_patch(tmp_path / "patch.safetensors", capture_patch(changed, {}))
    apply_patch(model, load_patch(tmp_path / "patch.safetensors"))
    assert torch.equal(logits(model), expected)
    save_baked(model, tmp_path / "baked")
    remove_patch(model)
    assert torch.equal(logits(model), before)
    plain, info = AutoModelForCausalLM.from_pretrained(
        tmp_path / "baked", output_loading_info=True, attn_implementation="eager", dtype=torch.float32
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(logits(plain.eval()), expected)
    assert torch.equal(logits(load_model(str(tmp_path / "baked"), "eager")), expected)


def test_one_pass_is_greedy_decoding(model):
    rows = ParagraphSet(tiny.some_ids(5, 4, P + C), P, tuple("abcd"))
    said = greedy_continuations(model, rows.prefixes, C, batch_size=3)
    inputs = rows.prefixes.clone()
    for _ in range(C):  # by hand: a whole pass a token, no cache
        with torch.no_grad():
            inputs = torch.cat([inputs, model(input_ids=inputs, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)], 1)
    assert torch.equal(said, inputs[:, P:])
    right = torch.tensor([0, 3, 5, C])
    texts = said.clone()
    for row, number in enumerate(right.tolist()):
        texts[row, number : number + 1] = (texts[row, number : number + 1] + 1) % tiny.VOCABULARY
    assert torch.equal(score(model, rows.with_continuations(texts), batch_size=3).em, right)
    own = own_continuations(model, rows, score(model, rows).em, batch_size=3)
    assert torch.equal(own.continuations, said)


def test_a_filter_on_heads_leaves_one_head(model):
    weights = eligible_weights(model)
    mask = select_all(weights, Filter([1], None, [1]))
    found = Counter()
    for weight in weights:
        if weight.name in mask.indices:
            flat = mask.indices[weight.name]
            kinds, heads = locate(weight, torch.arange(weight.size) if flat is None else flat)
            found.update((weight.layer, KINDS[kind], head) for kind, head in zip(kinds.tolist(), heads.tolist(), strict=True))
    kv_heads = {int(head) for weight in weights for head in weight.heads[weight.kinds == KINDS.index("k")]}
    kinds = ("q", "k", "v", "out") if 1 in kv_heads else ("q", "out")
    assert found == {(1, kind, 1): tiny.HEAD_SIZE * tiny.D for kind in kinds}


def test_attention_is_the_models_own(model):
    prefixes = tiny.some_ids(4, 5, P)
    found = attention_heads(model, prefixes, torch.arange(tiny.VOCABULARY), sets=torch.zeros(5).long(), batch_size=2)
    with torch.no_grad():
        own = torch.stack(model(input_ids=prefixes, output_attentions=True).attentions, 1)[..., -1, :].double()  # [N, L, H, P]
    assert found["attention"].shape == (5, tiny.LAYERS, tiny.HEADS, P)
    seen = ~found["attention"].isnan()
    torch.testing.assert_close(found["attention"][seen].double(), own[seen], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["entropy"], torch.special.entr(own).sum(-1), rtol=1e-4, atol=1e-5)


def test_gradients_of_every_part_can_be_had(model):
    rows, weights = ParagraphSet(tiny.some_ids(6, 2, P + C), P, ("a", "b")), eligible_weights(model)
    for found, name in (
        (activation_gradients(model, weights, rows, batch_size=2), "magnitude"),
        (parameter_gradients(model, weights, rows), "top_mean"),
    ):
        assert found[name].shape == (2, len(found.cells)) and float(found[name].min()) > 0
        assert {(cell.layer, cell.kind) for cell in found.cells} == set(itertools.product(range(tiny.LAYERS), KINDS))


def trainer(callbacks, steps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lightning.Trainer(
            max_steps=2,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=callbacks,
        )


@pytest.mark.parametrize("fraction", [None, 0.1])
def test_steps_of_the_default_method_lower_the_forget_loss_and_keep_the_rest(model, sets, fraction):
    weights, before = eligible_weights(model), {name: p.detach().clone() for name, p in model.named_parameters()}
    preparation = prepare(model, sets, batch_size=8)
    mask = select_all(weights) if fraction is None else select_random(weights, fraction, Filter(), 0)
    optimizer = Kfac(relative_norm=None, max_kl=1e-3, rows=4)
    training = unlearn(
        model, mask, preparation, optimizer=optimizer, stop=None, make_trainer=trainer, batch_size=4, weights=weights
    )
    assert training.steps == 2
    deltas = delta_parameters(model)
    assert deltas.keys() == mask.indices.keys() and all(float(delta.detach().abs().max()) > 0 for delta in deltas.values())
    after = score(model, sets.forget, 8)
    assert float(after.nll.mean()) > float(preparation.baselines["forget"].scores.nll.mean())
    kept = score(model, sets.retain, 8, reference=preparation.baselines["retain"].states)
    assert 0 < float(kept.kl.mean()) < 0.05
    remove_patch(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
