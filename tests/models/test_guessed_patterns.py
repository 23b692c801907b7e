"""What an unknown architecture's error proposes is right where names tell, and is typed as it stands."""

import re
import shlex

import pytest
import tiny_architectures as tiny
from hydra.core.override_parser.overrides_parser import OverridesParser
from transformers import AutoConfig, AutoModelForCausalLM

from memunlearn.commands.arguments import as_typed
from memunlearn.errors import UserError
from memunlearn.models import eligible_weights
from memunlearn.models.architectures import BUILT_IN
from memunlearn.models.guessed_patterns import as_override, guessed_patterns

SHAPE = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 61}
LLAMA_LIKE = {**SHAPE, "intermediate_size": 40, "num_key_value_heads": 2, "head_dim": 6, "pad_token_id": 0}
UNKNOWN = {
    "xglm": {"d_model": 24, "num_layers": 2, "attention_heads": 4, "ffn_dim": 40, "vocab_size": 61},
    "biogpt": {**SHAPE, "intermediate_size": 40},
    "helium": LLAMA_LIKE,
    "nemotron": LLAMA_LIKE,
}


def unknown(model_type):
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **UNKNOWN[model_type]))


@pytest.mark.parametrize("family", tiny.EVERY)
def test_names_of_known_architectures_tell_what_is_in_their_tables(family):
    """All but fused q, k, v, which are left to the user."""
    model = tiny.tiny_model(family)
    table, left_out = guessed_patterns(model)
    known = BUILT_IN[model.config.model_type]
    assert table == {pattern: kind for pattern, kind in known.items() if not kind.startswith("qkv")}
    fused = {pattern for pattern, kind in known.items() if kind.startswith("qkv")}
    assert fused <= set(left_out) and all("norm" in pattern for pattern in set(left_out) - fused)


@pytest.mark.parametrize("model_type", UNKNOWN)
def test_the_proposal_is_typed_as_it_stands_and_covers_every_block(model_type):
    model = unknown(model_type)
    with pytest.raises(UserError, match="not among the architectures whose weights are known") as error:
        eligible_weights(model)
    [proposed] = re.findall(r"model\.patterns=.*", str(error.value))
    [argument] = shlex.split(proposed)
    [argument] = as_typed([argument])
    patterns = OverridesParser.create().parse_override(argument).value()
    matrices = {n for n, p in model.named_parameters() if p.ndim == 2 and ".layers." in n}
    assert {weight.name for weight in eligible_weights(model, patterns)} == matrices


def test_what_names_do_not_tell_is_listed():
    config = AutoConfig.for_model("codegen", n_embd=24, n_layer=2, n_head=4, rotary_dim=4, vocab_size=61)
    model = AutoModelForCausalLM.from_config(config)
    with pytest.raises(UserError, match="not told by their names, .* qkv_per_head: transformer.h.{layer}.attn.qkv_proj.weight"):
        eligible_weights(model)
    table, _ = guessed_patterns(model)
    assert sorted(table.values()) == ["mlp_in", "mlp_out", "out"]
    assert sum(weight.size for weight in eligible_weights(model, table)) == 2 * (24 * 24 + 2 * 24 * 96)


def test_without_a_name_that_tells_the_whole_list_is_shown():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", hidden_size=24, num_hidden_layers=2, vocab_size=61))
    with pytest.raises(UserError, match=r"\(gpt_neo, gpt2, .*: describe its weights in model.patterns, .* to one of q, k, v"):
        eligible_weights(model)


def test_an_override_is_one_word_of_a_shell():
    table = {"a.{layer}.q.weight": "q", "b c.{layer}.weight": "mlp_in"}
    [word] = shlex.split(as_override(table))
    assert word == "model.patterns={'a.{layer}.q.weight': q, 'b c.{layer}.weight': mlp_in}"
