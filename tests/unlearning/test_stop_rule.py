"""When to stop and what to keep: truth tables of the rule, and runs watched from outside."""

import itertools
import math
from dataclasses import replace
from functools import partial

import naive_scoring as naive
import pytest
import torch
from tiny_runs import C, P, Poisoned, Recorder, bits, deltas_of, quiet_trainer, same, some_mask

from memunlearn.errors import UserError
from memunlearn.evaluation.suite import em_p95
from memunlearn.models import bake, write_deltas, zero_deltas
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.unlearning.stopping import Check, StopAndKeep, StopRule
from memunlearn.unlearning.training import unlearn


def check_of(em=0.0, p95=0, run=0.0, kl=0.0, step=1, alternative_em=None):
    return Check(step, em, p95, run, kl, None, alternative_em)


@pytest.mark.parametrize(
    ("em", "p95", "run", "forgotten"),
    [
        (5.0, 10, 10.0, True),
        (5.01, 10, 10.0, False),
        (5.0, 11, 10.0, False),
        (5.0, 10, 10.01, False),  # EM alone is gamed by flipping one token
        (0.0, 0, 50.0, False),
        (0.0, 0, 0.0, True),
    ],
)
def test_forgotten(em, p95, run, forgotten):
    assert StopRule(forget_em=5.0).forgotten(check_of(em, p95, run, kl=99.0), 50) == forgotten


@pytest.mark.parametrize(
    ("em", "p95", "alternative_em", "forgotten"),
    [
        (5.0, 10, 40.0, True),
        (5.0, 10, 39.99, False),  # no longer recites the original, and not the alternative yet
        (5.01, 10, 50.0, False),
        (5.0, 11, 50.0, False),
        (0.0, 0, 50.0, True),
    ],
)
@pytest.mark.parametrize("run", [0.0, 50.0])
def test_an_edit_is_done_when_the_alternative_is_recited(em, p95, alternative_em, run, forgotten):
    """Whatever is left of the longest run, which the original's own words bring about."""
    check = check_of(em, p95, run, alternative_em=alternative_em)
    assert StopRule(forget_em=5.0).forgotten(check, 50) == forgotten


def test_forgotten_scales_with_the_continuation():
    rule = StopRule(forget_em=5.0)
    assert rule.forgotten(check_of(1.0, 1, 1.8), 9) and not rule.forgotten(check_of(1.0, 2, 1.8), 9)


def test_hurt_is_above_the_limit_not_at_it():
    rule = StopRule(max_kl=0.25)
    assert [rule.hurt(check_of(kl=kl)) for kl in (0.0, 0.25, 0.2500001, math.inf)] == [False, False, True, True]


@pytest.mark.parametrize(("every", "max_steps"), [(5, 12), (1, 4), (7, 3)])
def test_due_after_the_first_step_every_few_and_at_the_end(every, max_steps):
    rule = StopRule(every=every, max_steps=max_steps)
    due = [step for step in range(1, max_steps + 1) if rule.is_due(step)]
    assert due == sorted({1, max_steps, *range(every, max_steps + 1, every)})


def test_rank_orders_forgotten_then_unhurt_then_hurt():
    rule = StopRule(forget_em=5.0, max_kl=0.5)
    best_first = [
        check_of(4.0, 5, 5.0, kl=0.1),  # forgotten: the lowest KL, whatever the EM
        check_of(1.0, 5, 5.0, kl=0.2),
        check_of(1.0, 5, 5.0, kl=0.5),
        check_of(3.0, 5, 20.0, kl=0.4),  # not forgotten (a long run is left): the lowest EM, whatever the KL
        check_of(20.0, 50, 30.0, kl=0.1),
        check_of(20.0, 50, 30.0, kl=0.3),
        check_of(50.0, 50, 50.0, kl=0.0),  # the base model
        check_of(0.0, 0, 0.0, kl=0.51),  # hurt, though forgotten
        check_of(0.0, 0, 0.0, kl=7.0),
    ]
    for better, worse in itertools.combinations(best_first, 2):
        assert rule.rank(better, 50) < rule.rank(worse, 50)


def test_rank_of_an_edit_looks_at_both_texts():
    rule = StopRule(forget_em=5.0, max_kl=0.5)
    best_first = [
        check_of(4.0, 5, 45.0, kl=0.4, alternative_em=41.0),  # done
        check_of(0.2, 1, 45.0, kl=0.2, alternative_em=39.9),
        check_of(0.0, 0, 45.0, kl=0.1, alternative_em=39.0),
        check_of(0.0, 0, 45.0, kl=0.05, alternative_em=3.0),  # recites neither
        check_of(50.0, 50, 50.0, kl=0.0, alternative_em=0.0),  # the base model
        check_of(0.0, 0, 0.0, kl=0.51, alternative_em=50.0),  # hurt
    ]
    for better, worse in itertools.combinations(best_first, 2):
        assert rule.rank(better, 50) < rule.rank(worse, 50)


@pytest.mark.parametrize(
    "settings", [{"every": 0}, {"max_steps": 0}, {"forget_em": -1.0}, {"max_kl": 0.0}, {"max_kl": -0.5}], ids=str
)
def test_rules_that_make_no_sense_are_refused(settings):
    with pytest.raises(UserError, match=f"stop.{next(iter(settings))}="):
        StopRule(**settings)


def naive_em(model, rows):
    """[N], by real decoding from the prefixes."""
    model = bake(model)
    return [naive.agreement(naive.greedy(model, ids[:P], C)[0], ids[P:]) for ids in rows.ids]


def mean(values):
    return sum(values) / len(values)


def naive_check(model, base, sets, step):
    """A Check by loops over rows, with real decoding."""
    model = bake(model)
    em, runs = naive_em(model, sets.forget), []
    for ids in sets.forget.ids:
        logits = naive.logits_of(model, ids)
        runs.append(naive.longest([int(logits[i].argmax()) == int(ids[i + 1]) for i in range(P - 1, P + C - 1)]))
    kl = [sum(naive.token_kl(base, model, ids, P)) / C for ids in sets.retain_val.ids]
    bystander = naive_em(model, sets.bystander_val)
    return Check(step, mean(em), em_p95(torch.tensor(em)), mean(runs), mean(kl), mean(bystander))


class Watcher(Recorder):
    def __init__(self, base, sets):
        super().__init__()
        self.base, self.sets, self.checks = base, sets, {}

    def on_train_batch_end(self, trainer, module, *rest):
        super().on_train_batch_end(trainer, module, *rest)
        self.checks[trainer.global_step] = naive_check(module.model, self.base, self.sets, trainer.global_step)


def watched_run(model, base, sets, preparation, rule, lr, objective=None):
    watcher = Watcher(base, sets)
    optimizer = partial(torch.optim.SGD, lr=lr, momentum=0.9)
    objective = objective or Unlearn(forget_weight=1.0, retain_weight=0.1)
    trained = unlearn(model, some_mask(model), preparation, objective, optimizer, rule, quiet_trainer(5, [watcher]), 8)
    return trained, watcher


def naive_choice(rule, base_check, watcher):
    """(step kept, last step, why): what a reader of the rule would do, from the watcher's own numbers."""
    candidates = [base_check]
    for step, check in sorted(watcher.checks.items()):
        if not (step == 1 or step % rule.every == 0 or step == rule.max_steps):
            continue
        candidates.append(check)
        done = check.forget_em <= rule.forget_em and max(check.forget_em_p95, check.forget_longest_run) <= C / 5
        if done or check.retain_val_kl > rule.max_kl:
            why = "max_kl" if check.retain_val_kl > rule.max_kl else "forget_em"
            break
    else:
        why = "max_steps"

    def met(check):
        return check.forget_em <= rule.forget_em and max(check.forget_em_p95, check.forget_longest_run) <= C / 5

    unhurt = [check for check in candidates if check.retain_val_kl <= rule.max_kl]
    good = [check for check in unhurt if met(check)]
    if good:
        kept = min(good, key=lambda check: check.retain_val_kl)
    else:
        kept = min(unhurt, key=lambda check: (check.forget_em, check.retain_val_kl))
    return kept.step, candidates[-1].step, why


RULES = {
    "forgotten": (StopRule(every=1, forget_em=1.0, max_kl=100.0, max_steps=30), 0.05, "forget_em"),
    "hurt": (StopRule(every=2, forget_em=0.0, max_kl=0.03, max_steps=30), 0.02, "max_kl"),
    "neither": (StopRule(every=3, forget_em=0.0, max_kl=100.0, max_steps=7), 0.01, "max_steps"),
}


@pytest.mark.parametrize(("rule", "lr", "why"), RULES.values(), ids=list(RULES))
def test_the_best_check_is_kept_not_the_last(reciting, sets, preparation, rule, lr, why):
    base = bake(reciting)
    base_check = naive_check(base, base, sets, 0)
    trained, watcher = watched_run(reciting, base, sets, preparation, rule, lr)
    kept, last, expected_why = naive_choice(rule, base_check, watcher)
    assert (trained.kept_step, trained.steps, trained.stopped_because) == (kept, last, expected_why)
    assert trained.stopped_because == why and trained.steps == max(watcher.steps) > 1
    assert same(deltas_of(reciting), watcher.deltas[kept]) and same(trained.patch.deltas, watcher.deltas[kept])
    if why == "max_kl":
        assert 0 < kept < last


def test_a_check_is_what_loops_over_rows_say(reciting, sets, preparation):
    base = bake(reciting)
    _, watcher = watched_run(reciting, base, sets, preparation, RULES["neither"][0], RULES["neither"][1])
    write_deltas(reciting, watcher.deltas[7])
    callback = StopAndKeep(StopRule(), preparation, 4)
    seen = naive_check(reciting, base, sets, 7)
    found = callback.check(type("Module", (), {"model": reciting})(), 7)
    for name in ("step", "forget_em", "forget_em_p95", "forget_longest_run", "bystander_val_em"):
        assert getattr(found, name) == pytest.approx(getattr(seen, name)), name
    assert found.retain_val_kl == pytest.approx(seen.retain_val_kl, rel=1e-3) and found.retain_val_kl > 1e-4
    first = callback.best
    zero_deltas(reciting)
    assert first == naive_check(base, base, sets, 0)


@pytest.mark.parametrize("forget_em", [0.0, float(C)])
def test_the_base_model_is_kept_where_the_first_step_hurts(reciting, sets, preparation, forget_em):
    """Also where that step forgets: what is not kept did not reach the target."""
    base, before = bake(reciting), bits(reciting)
    rule = StopRule(every=1, forget_em=forget_em, max_kl=0.01, max_steps=9)
    trained, watcher = watched_run(reciting, base, sets, preparation, rule, lr=5.0)
    assert (trained.kept_step, trained.steps, trained.stopped_because) == (0, 1, "max_kl")
    assert watcher.checks[1].retain_val_kl > 0.01 and (watcher.checks[1].forget_em <= rule.forget_em) == (forget_em > 0)
    assert all(not delta.any() for delta in trained.patch.deltas.values())
    assert same(bits(reciting), before) and same(bits(bake(reciting)), before)


@pytest.mark.parametrize(
    ("rule", "objective", "step"),
    [(RULES["hurt"][0], None, None), (None, None, 5), (RULES["neither"][0], Poisoned(at=6), 4), (None, Poisoned(at=1), 0)],
    ids=["hurt", "no rule", "nan", "nan at once"],
)
def test_the_kept_check_is_of_the_kept_state(reciting, sets, preparation, rule, objective, step):
    base = bake(reciting)
    trained, _ = watched_run(reciting, base, sets, preparation, rule, 0.02, objective)
    found = trained.kept_check
    assert found.step == (trained.kept_step if step is None else step) and found.step < max(trained.steps, 1) + (rule is None)
    seen = naive_check(reciting, base, sets, found.step)
    for name in ("forget_em", "forget_em_p95", "forget_longest_run", "bystander_val_em"):
        assert getattr(found, name) == pytest.approx(getattr(seen, name)), name
    assert found.retain_val_kl == pytest.approx(seen.retain_val_kl, rel=1e-3, abs=1e-6)
    assert (found.retain_val_kl > 1e-6) == (found.step > 0)


class WatchingAnEdit(Recorder):
    def __init__(self, originals, alternatives):
        super().__init__()
        self.originals, self.alternatives, self.em = originals, alternatives, {}

    def on_train_batch_end(self, trainer, module, *rest):
        super().on_train_batch_end(trainer, module, *rest)
        self.em[trainer.global_step] = (naive_em(module.model, self.originals), naive_em(module.model, self.alternatives))


def test_an_edit_stops_when_the_alternatives_are_recited_and_the_originals_are_not(reciting, sets, editing):
    watcher = WatchingAnEdit(sets.forget, editing.loss_rows)
    rule = StopRule(every=1, forget_em=1.5, max_kl=100.0, max_steps=120)
    optimizer, objective = partial(torch.optim.Adam, lr=0.02), Edit(forget_weight=1.0, retain_weight=0.1)
    trained = unlearn(reciting, some_mask(reciting), editing, objective, optimizer, rule, quiet_trainer(120, [watcher]), 8)
    gone = [s for s, (em, _) in watcher.em.items() if mean(em) <= 1.5 and em_p95(torch.tensor(em)) <= C / 5]
    recited = [s for s, (_, em) in watcher.em.items() if mean(em) >= C - C / 5]
    assert trained.stopped_because == "forget_em" and trained.kept_step == trained.steps == min(set(gone) & set(recited))
    assert min(gone) < trained.steps  # that the originals are gone would have stopped it earlier
    assert trained.kept_check.alternative_em == pytest.approx(mean(watcher.em[trained.steps][1]))
    assert naive_em(reciting, editing.loss_rows) == watcher.em[trained.steps][1]


def test_the_base_models_check_knows_the_alternatives_of_an_edit_only(reciting, editing, preparation):
    found = StopAndKeep(StopRule(), editing, 4).best.alternative_em
    assert found == pytest.approx(mean(naive_em(reciting, editing.loss_rows))) and found < C - C / 5
    assert StopAndKeep(StopRule(), preparation, 4).best.alternative_em is None
    module = type("Module", (), {"model": reciting})()
    assert StopAndKeep(StopRule(), editing, 4).check(module, 1).alternative_em == pytest.approx(found)
    assert StopAndKeep(StopRule(), preparation, 4).check(module, 1).alternative_em is None


def test_without_bystanders_there_is_no_bystander_number(reciting, sets, preparation):
    none = torch.empty(0, dtype=torch.int64)
    baselines = {**preparation.baselines, "bystander_val": preparation.baselines["bystander_val"].select(none)}
    callback = StopAndKeep(StopRule(), replace(preparation, baselines=baselines), 4)
    assert callback.best.bystander_val_em is None
    assert callback.check(type("Module", (), {"model": reciting})(), 3).bystander_val_em is None


def test_the_state_goes_through_a_checkpoint(preparation):
    one, other = (StopAndKeep(StopRule(), preparation, 4) for _ in range(2))
    one.best, one.best_deltas = check_of(2.0, 3, 1.0, 0.2, step=6), {"w": torch.tensor([0.25, -3.0])}
    one.last_checked, one.stopped_because = 10, "max_kl"
    other.load_state_dict(one.state_dict())
    assert (other.best, other.last_checked, other.stopped_because) == (one.best, 10, "max_kl")
    assert torch.equal(other.best_deltas["w"], one.best_deltas["w"])
