"""Hidden states after a block, in every architecture, against a full pass that gives all of them."""

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.errors import UserError
from memunlearn.models import eligible_weights
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.hidden_states import block_after, hidden_states

P, C, ROWS = 5, 4, 5


def some_rows():
    ids = torch.randint(1, tiny.VOCABULARY, (ROWS, P + C), generator=torch.Generator().manual_seed(2))
    return ParagraphSet(ids, P, tuple(f"row {row}" for row in range(ROWS)))


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("batch_size", [2, 8])
def test_they_are_those_of_a_full_pass_at_the_positions_that_predict_the_continuation(family, batch_size):
    model, rows = tiny.tiny_model(family), some_rows()
    block = block_after(eligible_weights(model), 0)
    found = hidden_states(model, block, rows, batch_size)
    with torch.no_grad():
        everything = model(input_ids=rows.ids, output_hidden_states=True).hidden_states
    assert found.shape == (ROWS, C, everything[1].shape[-1]) and found.dtype == torch.float32
    for row in range(ROWS):
        for position in range(C):
            torch.testing.assert_close(found[row, position], everything[1][row, P - 1 + position], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, everything[0][:, P - 1 : -1], atol=1e-2)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_blocks_are_found_by_number_and_the_middle_one_by_name(family):
    model = tiny.tiny_model(family)
    weights = eligible_weights(model)
    layers = sorted({weight.layer for weight in weights})
    paths = [block_after(weights, layer) for layer in layers]
    assert len(set(paths)) == len(layers) and all(path.endswith(f".{layer}") for path, layer in zip(paths, layers, strict=True))
    assert block_after(weights, "middle") == paths[len(layers) // 2]
    for weight in weights:
        assert weight.name.startswith(f"{paths[weight.layer]}.")
    with pytest.raises(UserError, match=f"objective.layer=7: this model has blocks 0 .. {layers[-1]}"):
        block_after(weights, 7)


def test_no_rows_have_none_and_no_hook_is_left():
    model, rows = tiny.tiny_model("gpt_neo"), some_rows()
    block = block_after(eligible_weights(model), 0)
    assert hidden_states(model, block, rows.select([]), 2).shape[:2] == (0, C)
    hidden_states(model, block, rows, 2)
    assert not model.get_submodule(block)._forward_hooks


def test_large_ones_lie_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("memunlearn.scoring.forward.MEMORY_MAP_ABOVE", 1)
    model, rows = tiny.tiny_model("gpt_neo"), some_rows()
    block = block_after(eligible_weights(model), 0)
    mapped = hidden_states(model, block, rows, 2, directory=tmp_path)
    assert [file.suffix for file in tmp_path.iterdir()] == [".f32"]
    assert torch.equal(mapped, hidden_states(model, block, rows, 2))


def test_they_are_as_wide_as_the_block_where_the_head_is_narrower():
    """OPT's smallest checkpoints project the last hidden states down before the head."""
    from transformers import OPTConfig, OPTForCausalLM

    sizes = {"hidden_size": 16, "word_embed_proj_dim": 8, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(3)
    model = OPTForCausalLM(OPTConfig(vocab_size=tiny.VOCABULARY, max_position_embeddings=64, **sizes)).eval()
    rows = some_rows()
    with torch.no_grad():
        whole = model(rows.ids, output_hidden_states=True).hidden_states[1]
    expected = whole[:, rows.prefix_length - 1 : -1]
    found = hidden_states(model, "model.decoder.layers.0", rows, 2)
    assert found.shape[-1] == 16 != model.get_output_embeddings().in_features
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
