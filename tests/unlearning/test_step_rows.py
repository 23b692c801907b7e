"""A step's material against plain passes of the plain model: every side, the base model's part, protected rows."""

import copy
from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from tiny_runs import C, P, deltas_of, module_of, quiet_trainer, some_mask
from torch.nn import functional

from memunlearn.errors import UserError
from memunlearn.masks.selection import select_all
from memunlearn.models import attach, delta_parameters, eligible_weights
from memunlearn.models.filters import Filter
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.objectives.demote import Demote
from memunlearn.objectives.losses import kl, nll, token_nll
from memunlearn.objectives.material import Losses, Needs
from memunlearn.objectives.npo import NPO
from memunlearn.objectives.rmu import RMU
from memunlearn.scoring.alternatives import find_alternatives
from memunlearn.unlearning.preparation import prepare
from memunlearn.unlearning.step_rows import StepRows
from memunlearn.unlearning.training import unlearn

BATCH = {"forget": torch.tensor([3, 1]), "retain": torch.tensor([0, 6, 2]), "weights": torch.ones(2)}
LAYER = 0
EVERYTHING = Needs(base_logits=("forget",), layer=LAYER, base_hidden=("forget", "retain"))
find = partial(find_alternatives, seed=4, batch_size=16)


def plain(model, ids):
    """Logits and hidden states after block LAYER, at the positions that predict the continuation, from a full pass."""
    with torch.no_grad():
        out = model(input_ids=ids, output_hidden_states=True)
    return out.logits[:, P - 1 : P + C - 1], out.hidden_states[LAYER + 1][:, P - 1 : P + C - 1]


@pytest.fixture
def moved(reciting):
    """The model, some deltas of which are not zero; and the base model."""
    base = copy.deepcopy(reciting)

    def move():
        attach(reciting, some_mask(reciting).indices)
        generator = torch.Generator().manual_seed(3)
        for delta in delta_parameters(reciting).values():
            delta.data.copy_(0.05 * torch.randn(delta.shape, generator=generator))
        return reciting, base

    return move


def check(side, model, base, ids, rows):
    logits, hidden = plain(model, ids[rows])
    base_logits, base_hidden = plain(base, ids[rows])
    for value, expected in (
        (side.logits, logits),
        (side.hidden, hidden),
        (side.base_logits, base_logits),
        (side.base_hidden, base_hidden),
    ):
        torch.testing.assert_close(value.detach(), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(side.hidden, side.base_hidden, atol=1e-3)
    assert not side.base_logits.requires_grad and not side.base_hidden.requires_grad
    assert side.logits.requires_grad and side.hidden.requires_grad
    assert torch.equal(side.labels, ids[rows][:, P:])


def test_every_side_is_what_plain_passes_give(reciting, sets, moved):
    preparation = prepare(reciting, sets, needs=EVERYTHING, batch_size=4)
    model, base = moved()
    deltas = delta_parameters(model)
    step = StepRows.of(preparation, EVERYTHING).material(model, BATCH, deltas)
    check(step.forget, model, base, sets.forget.ids, BATCH["forget"])
    check(step.retain, model, base, sets.retain_train.ids, BATCH["retain"])
    assert step.original is None and step.deltas is deltas
    assert torch.equal(step.retain.rows, BATCH["retain"]) and not step.retain.protected.any()


def test_an_edit_may_ask_for_the_originals_as_well(reciting, sets, moved):
    sides = ("forget", "original")
    needs = Needs(alternatives=True, originals=True, base_logits=sides, layer=LAYER, base_hidden=("retain", *sides))
    preparation = prepare(reciting, sets, find, needs=needs, batch_size=4)
    assert len(preparation.loss_positions) >= 4
    model, base = moved()
    step = StepRows.of(preparation, needs).material(model, BATCH, {})
    check(step.forget, model, base, preparation.loss_rows.ids, BATCH["forget"])
    check(step.original, model, base, sets.forget.ids[preparation.loss_positions], BATCH["forget"])
    check(step.retain, model, base, sets.retain_train.ids, BATCH["retain"])
    assert torch.equal(step.forget.rows, step.original.rows) and not torch.equal(step.forget.labels, step.original.labels)


def with_protected(sets):
    """The bystanders as protected rows."""
    none = torch.empty(0, dtype=torch.int64)
    clusters = {**sets.clusters, "protected": sets.clusters["bystander"], "bystander": none}
    return replace(sets, protected=sets.bystander, bystander=sets.bystander.select(none), clusters=clusters)


def test_protected_rows_follow_the_retain_rows(reciting, sets, moved):
    needs = Needs(layer=LAYER, base_hidden=("retain",))
    preparation = prepare(reciting, with_protected(sets), needs=needs, batch_size=4)
    model, base = moved()
    batch = {**BATCH, "protected": torch.tensor([2, 0])}
    side = StepRows.of(preparation, needs).material(model, batch, {}).retain
    assert side.protected.tolist() == [False] * 3 + [True] * 2 and side.rows.tolist() == [0, 6, 2, 2, 0]
    ids = torch.cat([sets.retain_train.ids[batch["retain"]], sets.bystander.ids[batch["protected"]]])
    check(side, model, base, ids, torch.arange(5))


def test_nothing_is_kept_or_read_that_is_not_asked_for(reciting, sets, moved):
    preparation = prepare(reciting, sets, needs=Needs(), batch_size=4)
    assert preparation.hidden == {} and preparation.states == {} and preparation.block is None
    model, _ = moved()
    step = StepRows.of(preparation, Needs()).material(model, BATCH, {})
    assert step.forget.read_base_states is step.forget.read_base_hidden is step.forget.hidden_states is None
    assert step.retain.read_base_hidden is None and step.retain.read_base_states is not None
    assert not {"base_states", "base_logits", "logits"} & set(vars(step.retain))  # no head product is made unless it is used
    asked = prepare(reciting, sets, needs=RMU().needs, batch_size=4)
    assert asked.hidden.keys() == {"retain"} and asked.states == {}


def test_a_preparation_that_says_no_needs_suits_the_default_and_what_needs_less(reciting, sets):
    preparation = prepare(reciting, sets, batch_size=4)
    for needs in (Demote.needs, NPO().needs, Needs()):
        assert StepRows.of(preparation, needs).forget.states is not None
    with pytest.raises(UserError, match="with the needs of this one"):
        StepRows.of(preparation, RMU().needs)


def test_a_preparation_for_another_objective_is_refused_before_anything_is_attached(reciting, sets):
    preparation = prepare(reciting, sets, needs=Needs(), batch_size=4)
    for objective in (NPO(), RMU(), Edit()):
        with pytest.raises(UserError, match="with the needs of this one"):
            unlearn(reciting, some_mask(reciting), preparation, objective)
    attach(reciting, some_mask(reciting).indices)  # refused if there are deltas already
    with pytest.raises(UserError, match="needs alternatives"):
        prepare(reciting, sets, needs=Edit().needs)


def test_a_layer_that_the_model_lacks_is_refused(reciting, sets):
    with pytest.raises(UserError, match=r"objective.layer=9: this model has blocks 0 .. \d"):
        prepare(reciting, sets, needs=RMU(layer=9).needs)


def test_hidden_states_are_differentiated_down_to_the_deltas_before_the_layer(reciting, sets):
    objective = RMU(1.0, 0.0, layer=0, steering=3.0)
    preparation = prepare(reciting, sets, needs=objective.needs, batch_size=8)
    mask = some_mask(reciting)
    sgd = partial(torch.optim.SGD, lr=1.0)
    layers = {weight.name: weight.layer for weight in eligible_weights(reciting)}
    unlearn(reciting, mask, preparation, objective, sgd, stop=None, make_trainer=quiet_trainer(1), batch_size=8)
    moved = {name for name, delta in deltas_of(reciting).items() if delta.any()}
    assert {layers[name] for name in moved} == {0} and len(moved) > 3


def test_a_mask_behind_the_layer_is_one_line(reciting, sets):
    objective = RMU(1.0, 0.0, layer=0, steering=3.0)
    preparation = prepare(reciting, sets, needs=objective.needs, batch_size=8)
    behind = select_all(eligible_weights(reciting), Filter(layers=[1]))
    with pytest.raises(UserError, match="objective RMU does not depend on any weight of the mask"):
        unlearn(reciting, behind, preparation, objective, stop=None, make_trainer=quiet_trainer(1), batch_size=8)


@dataclass(frozen=True)
class Preferred:
    """Direct preference optimization towards the alternatives: -(2 / b) log sigmoid(b (their log-ratio - the originals'))."""

    beta: float = 0.1
    needs: Needs = Needs(alternatives=True, originals=True, base_logits=("forget", "original"))

    def __call__(self, step):
        ratios = [
            (token_nll(side.base_logits, side.labels) - token_nll(side.logits, side.labels)).sum(1)
            for side in (step.forget, step.original)
        ]
        term = -2 / self.beta * functional.logsigmoid(self.beta * (ratios[0] - ratios[1])).mean()
        retain = kl(step.retain.base_logits, step.retain.logits)
        return Losses(term, retain, nll(step.original.logits, step.original.labels), retain)


def test_an_objective_of_both_texts_can_be_written(reciting, sets):
    objective = Preferred()
    preparation = prepare(reciting, sets, find, needs=objective.needs, batch_size=8)
    module = module_of(reciting, preparation, objective, torch.optim.SGD)
    first = objective(module.rows.material(reciting, BATCH, {}))
    assert float(first.forget_term) == pytest.approx(2 / 0.1 * 0.6931472, rel=1e-4)
    adam = partial(torch.optim.Adam, lr=3e-3)
    unlearn(
        reciting, some_mask(reciting), preparation, objective, adam, stop=None, make_trainer=quiet_trainer(20), batch_size=4
    )
    last = objective(module.rows.material(reciting, BATCH, {}))
    assert float(last.forget_term) < 0.8 * float(first.forget_term) and float(last.forget_nll) > float(first.forget_nll)


def test_protected_rows_are_kept_better_than_without(reciting, sets):
    base, kept = copy.deepcopy(reciting), {}
    objective = Unlearn(0.5, 1.0, None)
    for protects in (False, True):
        model = copy.deepcopy(base)
        given = with_protected(sets) if protects else sets
        preparation = prepare(model, given, batch_size=8)
        unlearn(
            model,
            some_mask(model, 0.5),
            preparation,
            objective,
            partial(torch.optim.Adam, lr=3e-3),
            stop=None,
            make_trainer=quiet_trainer(20),
            batch_size=6,
        )
        logits, _ = plain(model, sets.bystander.ids)
        kept[protects] = float(nll(logits, sets.bystander.continuations))
    assert kept[True] < 0.8 * kept[False]


@pytest.mark.parametrize(("budget", "moved"), [(0, ""), (1.0, "forget"), (1.99, "forget"), (1e9, "forget retain")])
def test_what_fits_lies_on_the_device(reciting, sets, budget, moved):
    """budget: in sizes of what is known of the forget rows. `meta` stands for a device."""
    rows = StepRows.of(prepare(reciting, sets, needs=EVERYTHING, batch_size=4), EVERYTHING)
    of_a_row = 2 * 4 * C * reciting.config.hidden_size  # final states and those of a layer, fp32
    assert rows.forget.bytes == of_a_row * len(sets.forget) < rows.retain.bytes == of_a_row * len(sets.retain_train)
    near = rows.near(torch.device("meta"), budget * rows.forget.bytes)
    for name, known in (("forget", near.forget), ("retain", near.retain)):
        where = {known.states.hidden.device.type, known.hidden.device.type}
        assert where == {"meta" if name in moved.split() else "cpu"}
    assert near.original is near.protected is None and near.block == rows.block
    assert near.forget.paragraphs is rows.forget.paragraphs


def test_smaller_sides_are_moved_where_a_larger_one_does_not_fit(reciting, sets):
    needs = Needs(layer=LAYER, base_hidden=("retain",))
    rows = StepRows.of(prepare(reciting, with_protected(sets), needs=needs, batch_size=4), needs)
    assert rows.forget.bytes == 0 < rows.protected.bytes < rows.retain.bytes
    near = rows.near(torch.device("meta"), rows.protected.bytes)
    assert near.protected.hidden.is_meta and not near.retain.hidden.is_meta


@pytest.mark.parametrize("lowest", [0, 1])
def test_nothing_is_differentiated_below_the_lowest_selected_layer(reciting, sets, lowest):
    preparation = prepare(reciting, sets, batch_size=4)
    blocks, chosen = reciting.transformer.h, [w for w in eligible_weights(reciting) if w.layer >= lowest]
    assert len(blocks) > 1
    attach(reciting, {weight.name: None for weight in chosen})
    forward, backward = [], []

    def note(module, given, output, number):
        states = output[0] if isinstance(output, tuple) else output
        forward.append((number, states.requires_grad))
        if states.requires_grad:
            states.register_hook(lambda gradient: backward.append(number))

    for number, block in enumerate(blocks):
        for part in (block, block.attn, block.mlp):
            part.register_forward_hook(partial(note, number=number))
    step = StepRows.of(preparation, Demote.needs).material(reciting, BATCH, {})
    Demote()(step).total.backward()
    assert {number for number, trained in forward if trained} == set(range(lowest, len(blocks))) == set(backward)
    assert {number for number, _ in forward} == set(range(len(blocks)))
