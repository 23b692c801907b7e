"""Activation patching against passes over the whole input with a hook that the test writes."""

import pytest
import tiny_architectures as tiny
import torch

from memunlearn.localization.activation_patching import activation_patching, patched_nll
from memunlearn.localization.activations import Cells, activation_cells, activation_sites, recorded
from memunlearn.localization.labelled import Cell
from memunlearn.localization.twins import Twins, twins_of
from memunlearn.models.architectures import KINDS
from memunlearn.models.components import eligible_weights
from memunlearn.models.sparse_delta import owner_of
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.scoring.greedy import greedy_continuations

P, C = 6, 5


def twins_by_hand():
    """Three random pairs: replaced at positions 0, P - 1 (which with impact 0 is also the impact position) and 3."""
    ids = tiny.some_ids(4, 3, P + C)
    intervention, impact = torch.tensor([0, P - 1, 3]), torch.tensor([2, 0, 4])
    other = ids.clone()
    other[torch.arange(3), intervention] = (ids[torch.arange(3), intervention] + 7) % tiny.VOCABULARY
    origin = ("a", "b", "c")
    return Twins(ParagraphSet(ids, P, origin), ParagraphSet(other, P, origin), torch.arange(3), intervention, impact)


def naive_run(model, ids, weight=None, change=None):
    """(NLL of the last of ids [T], what the module of the weight gave or was given): a pass over everything, no cache."""
    seen, handles = [], []
    if weight is not None:
        module, _ = owner_of(model, weight.name)
        if "out" in weight.kind_names:

            def before(m, inputs):
                seen.append(inputs[0].clone())
                return (change(inputs[0]),) if change else None

            handles.append(module.register_forward_pre_hook(before))
        else:

            def after(m, inputs, output):
                seen.append(output.clone())
                return change(output) if change else None

            handles.append(module.register_forward_hook(after))
    with torch.no_grad():
        logits = model(input_ids=ids[None, :-1], use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    return float(-logits.double().log_softmax(-1)[ids[-1]]), seen[0] if seen else None


def naive_patched(model, weights, base, donor, position, cell):
    """The cell may span several weights (a gated MLP): all their modules are changed in one pass."""
    handles = []
    for weight in weights:
        if weight.layer != cell.layer or cell.kind not in weight.kind_names:
            continue
        theirs = naive_run(model, donor, weight)[1][0, position]
        chosen = torch.ones(len(theirs), dtype=torch.bool)
        if cell.kind != "mlp_out":
            chosen = weight.kinds == KINDS.index(cell.kind)
        if cell.head is not None:
            chosen = chosen & (weight.heads == cell.head)

        def change(x, chosen=chosen, theirs=theirs):
            x = x.clone()
            x[0, position, chosen] = theirs[chosen]
            return x

        module, _ = owner_of(model, weight.name)
        if cell.kind == "out":
            handles.append(module.register_forward_pre_hook(lambda m, inputs, f=change: (f(inputs[0]),)))
        else:
            handles.append(module.register_forward_hook(lambda m, inputs, output, f=change: f(output)))
    assert handles
    nll = naive_run(model, base)[0]
    for handle in handles:
        handle.remove()
    return nll


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_effects_are_those_of_whole_passes_with_hooks(family, per_head):
    model = tiny.tiny_model(family)
    weights, twins = eligible_weights(model), twins_by_hand()
    found = activation_patching(model, weights, twins, per_head=per_head, min_difference=-100.0, batch_size=5)
    assert found["kept"].all()
    assert found.cells == activation_cells(activation_sites(weights), per_head).labels
    for row in range(3):
        end = P + int(twins.impact[row])
        clean, corrupted = (side.ids[row, : end + 1] for side in (twins.original, twins.perturbed))
        low, high = naive_run(model, clean)[0], naive_run(model, corrupted)[0]
        assert float(found["clean"][row]) == pytest.approx(low, abs=1e-5)
        assert float(found["corrupted"][row]) == pytest.approx(high, abs=1e-5)
        for i, position in enumerate((int(twins.intervention[row]), end - 1)):
            for j, cell in enumerate(found.cells):
                into_original = naive_patched(model, weights, clean, corrupted, position, cell)
                into_twin = naive_patched(model, weights, corrupted, clean, position, cell)
                nats = found["effect"][row, :, i, j] * (high - low)  # a small difference would blow up fp32's rounding
                assert nats.tolist() == pytest.approx([into_original - low, high - into_twin], abs=1e-4), (row, i, cell)


@pytest.mark.parametrize("family", tiny.EVERY)
def test_with_keys_and_values_kept_a_pass_gives_what_a_whole_one_does(family):
    model = tiny.tiny_model(family)
    sites = activation_sites(eligible_weights(model))
    cells = activation_cells(sites)
    ids = tiny.some_ids(5, 1, 12)[0]
    with torch.no_grad(), recorded(model, sites) as own:
        logits = model(input_ids=ids[None, :-1], use_cache=False).logits[0, -1]
    expected = float(-logits.double().log_softmax(-1)[ids[-1]])
    for position in (0, 1, 7, 10):
        given = {name: values[0, position] for name, values in own.items()}
        unchanged = patched_nll(model, sites, cells, ids=ids, position=position, given=given, batch_size=7)
        torch.testing.assert_close(unchanged, torch.full_like(unchanged, expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", tiny.EVERY)
def test_replacing_every_activation_of_the_replaced_token_does_everything(family):
    model = tiny.tiny_model(family)
    sites = activation_sites(eligible_weights(model))
    everything = Cells((Cell(0, "all", None),), {site.name: torch.zeros(len(site.kinds)).long() for site in sites})
    twins = twins_by_hand()
    for row in (0, 2):
        position, end = int(twins.intervention[row]), P + int(twins.impact[row])
        clean, corrupted = (side.ids[row, : end + 1] for side in (twins.original, twins.perturbed))
        with torch.no_grad(), recorded(model, sites) as found:
            model(input_ids=corrupted[None, :-1], use_cache=False)
        given = {name: values[0, position] for name, values in found.items()}
        patched = patched_nll(model, sites, everything, ids=clean, position=position, given=given, batch_size=1)
        assert float(patched) == pytest.approx(naive_run(model, corrupted)[0], abs=1e-4)


def test_a_layer_whose_mlp_was_made_to_matter_is_named():
    """Every block adds nothing to the stream but the second layer's MLP, which alone can carry the replaced token's effect."""
    model = tiny.tiny_model("gpt_neo")
    blocks = model.transformer.h
    with torch.no_grad():
        for number, block in enumerate(blocks):
            if number != 1:
                block.mlp.c_proj.weight.zero_()
            for parameter in block.attn.attention.out_proj.parameters():
                parameter.zero_()
        blocks[1].mlp.c_proj.weight.mul_(10)
    twins = twins_by_hand()
    found = activation_patching(model, eligible_weights(model), replaced_last(twins), min_difference=-100.0)
    effect = found["effect"][:, :, 1].abs().mean((0, 1))
    best = found.cells[int(effect.argmax())]
    assert (best.layer, best.kind) in {(1, "mlp_in"), (1, "mlp_out")}
    others = torch.tensor([(c.layer, c.kind[:3]) != (1, "mlp") for c in found.cells])
    assert float(effect[others].max()) == 0.0 and float(effect[~others].min()) > 0.5


def replaced_last(twins):
    """The pairs with the last prefix token replaced, and the first continuation token as impact."""
    ids = twins.original.ids.clone()
    ids[:, P - 1] = (ids[:, P - 1] + 11) % tiny.VOCABULARY
    other = ParagraphSet(ids, P, twins.original.origin)
    return Twins(twins.original, other, twins.rows, torch.full((3,), P - 1), torch.zeros(3).long())


def test_rows_whose_impact_token_hardly_changes_are_left_out():
    model = tiny.tiny_model("gpt_neo")
    weights, twins = eligible_weights(model), twins_by_hand()
    every = activation_patching(model, weights, twins, min_difference=-100.0)
    differences = every["corrupted"] - every["clean"]
    threshold = float(differences.sort().values[1])
    some = activation_patching(model, weights, twins, min_difference=threshold)
    assert some["kept"].tolist() == (differences >= threshold).tolist() and int(some["kept"].sum()) == 2
    assert torch.equal(some["effect"][some["kept"]], every["effect"][some["kept"]])
    assert some["effect"][~some["kept"]].isnan().all() and torch.equal(some["clean"], every["clean"])


def test_real_twins_are_patched_and_the_model_is_left_as_it_was():
    model = tiny.tiny_model("gpt2")
    ids = tiny.some_ids(2, 4, P + C)
    ids[:, P:] = greedy_continuations(model, ids[:, :P], C)
    paragraphs = ParagraphSet(ids, P, ("a", "b", "c", "d"))
    twins = twins_of(paragraphs, find_alternatives(model, paragraphs))
    found = activation_patching(model, eligible_weights(model), twins, min_difference=0.0)
    assert len(twins) and found["effect"][found["kept"]].isfinite().all()
    assert found["effect"].shape == (len(twins), 2, 2, tiny.LAYERS * len(KINDS))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
