"""When to stop and what to keep: truth tables of the rule, and runs watched from outside."""

import itertools
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import naive_scoring as naive
import pytest
import torch
from tiny_runs import C, P, Poisoned, Recorder, bits, deltas_of, module_of, quiet_trainer, same, some_mask

from memunlearn.errors import UserError
from memunlearn.models import bake, write_deltas, zero_deltas
from memunlearn.objectives.contrastive import Edit, Unlearn
from memunlearn.paragraphs.paragraph_set import concatenate
from memunlearn.scoring.alternatives import Alternatives, find_alternatives
from memunlearn.scoring.metric import percentile
from memunlearn.unlearning.checks import Check
from memunlearn.unlearning.preparation import prepare
from memunlearn.unlearning.stopping import LOW_CHECKS_IN_A_ROW, StopAndKeep, StopRule, rule_for
from memunlearn.unlearning.training import unlearn


def check_of(em=0.0, p95=0, run=0.0, kl=0.0, step=1, alternative_em=None, bystander=None, common_run=None):
    return Check(
        step=step,
        forget_em=em,
        forget_em_p95=p95,
        forget_longest_run=run,
        retain_val_kl=kl,
        bystander_val_em=bystander,
        alternative_em=alternative_em,
        forget_longest_common_run=common_run,
    )


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
    ("em", "p95", "alternative_em", "common_run", "forgotten"),
    [
        (5.0, 10, 40.0, 10.0, True),
        (5.0, 10, 39.99, 0.0, False),  # no longer recites the original, and not the alternative yet
        (5.01, 10, 50.0, 0.0, False),
        (5.0, 11, 50.0, 0.0, False),
        (0.0, 0, 50.0, 0.0, True),
        (0.0, 0, 50.0, 10.01, False),  # EM breaks at the first token, and the rest of the original is still said
        (0.0, 0, 50.0, None, False),  # what is not known is not done
    ],
)
@pytest.mark.parametrize("run", [0.0, 50.0])
def test_an_edit_is_done_when_the_alternative_is_recited(em, p95, alternative_em, common_run, run, forgotten):
    """Whatever is left of the longest run, which the original's own words bring about."""
    check = check_of(em, p95, run, alternative_em=alternative_em, common_run=common_run)
    assert StopRule(forget_em=5.0).forgotten(check, 50) == forgotten


@pytest.mark.parametrize("common_run", [0.0, 50.0, None])
def test_without_an_edit_nothing_is_asked_of_the_longest_common_run(common_run):
    assert StopRule().forgotten(check_of(0.0, 0, 0.0, common_run=common_run), 50)


@pytest.mark.parametrize(
    ("limit", "run", "forgotten"),
    [(None, 10.0, True), (None, 10.1, False), (5.0, 5.0, True), (5.0, 5.1, False), (0, 0.0, True), (20, 19.0, True)],
)
def test_the_longest_run_to_reach_can_be_set(limit, run, forgotten):
    assert StopRule(longest_run=limit).forgotten(check_of(0.0, 0, run), 50) == forgotten
    assert StopRule(longest_run=limit).forgotten(check_of(0.0, 0, run, alternative_em=50, common_run=0), 50)  # not an edit's


@pytest.mark.parametrize("limit", [-1, "5", True, math.nan])
def test_a_longest_run_that_is_no_length_is_refused(limit):
    with pytest.raises(UserError, match="stop.longest_run="):
        StopRule(longest_run=limit)


def test_forgotten_scales_with_the_continuation():
    rule = StopRule(forget_em=5.0)
    assert rule.forgotten(check_of(1.0, 1, 1.8), 9) and not rule.forgotten(check_of(1.0, 2, 1.8), 9)


def test_hurt_is_above_the_limit_not_at_it():
    rule = StopRule(max_kl=0.25)
    assert [rule.hurt(check_of(kl=kl), 50) for kl in (0.0, 0.25, 0.2500001, math.inf)] == [None, None, "max_kl", "max_kl"]


@pytest.mark.parametrize(
    ("setting", "length", "em", "hurt"),
    [
        (None, 50, 40.0, None),  # 4/5 of C
        (None, 50, 39.99, "bystander_em"),
        (None, 10, 8.0, None),
        (None, 10, 7.9, "bystander_em"),
        (45, 50, 44.0, "bystander_em"),  # tokens, whatever C is
        (45, 60, 46.0, None),
        (0, 50, 0.0, None),  # no limit
        (None, 50, None, None),  # no bystanders
    ],
)
def test_bystanders_are_hurt_below_the_limit_not_at_it(setting, length, em, hurt):
    rule = StopRule(max_kl=0.25, min_bystander_em=setting)
    assert rule.hurt(check_of(bystander=em), length) == hurt
    assert rule.hurt(check_of(bystander=em, kl=0.3), length) == "max_kl"


def test_more_bystander_em_than_tokens_is_refused():
    with pytest.raises(UserError, match=r"stop.min_bystander_em=11 is more than the 10 tokens"):
        StopRule(min_bystander_em=11).least_bystander_em(10)
    assert StopRule(min_bystander_em=10).least_bystander_em(10) == 10


def test_a_state_that_hurts_bystanders_ranks_below_one_that_forgot_nothing():
    rule = StopRule()
    forgot_all, forgot_nothing = check_of(kl=0.01, bystander=12.8), check_of(50.0, 50, 50.0, bystander=50.0)
    assert rule.prefers(forgot_nothing, forgot_all, 50) and not rule.prefers(forgot_all, forgot_nothing, 50)


@pytest.mark.parametrize(
    ("one", "other", "first"),
    [
        ((0.2, 50.0), (0.1, 48.0), False),  # within two tokens of each other: KL decides
        ((0.1, 48.0), (0.2, 50.0), True),
        ((0.2, 50.0), (0.1, 47.9), True),  # more than that: bystander EM does
        ((0.1, 41.0), (0.4, 44.0), False),
        ((0.2, 45.0), (0.2, 45.0), False),  # equal: what was kept stays
        ((0.1, None), (0.2, None), True),
    ],
)
def test_of_two_states_that_forgot_bystanders_decide_and_then_kl(one, other, first):
    checks = [check_of(1.0, 2, 2.0, kl=kl, bystander=em) for kl, em in (one, other)]
    assert StopRule().prefers(*checks, 50) == first
    twice = [replace(check, bystander_val_em=em and 2 * em) for check, em in zip(checks, (one[1], other[1]), strict=True)]
    assert StopRule().prefers(*twice, 100) == first  # it scales with the continuation


def test_where_bystanders_are_only_reported_kl_decides():
    unlimited = StopRule(min_bystander_em=0.0)
    assert unlimited.prefers(check_of(kl=0.1, bystander=3.0), check_of(kl=0.2, bystander=50.0), 50)


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
        check_of(4.0, 5, 45.0, kl=0.4, alternative_em=41.0, common_run=9.0),  # done
        check_of(4.0, 5, 45.0, kl=0.4, alternative_em=41.0, common_run=10.5),  # but for what is still said
        check_of(0.0, 0, 45.0, kl=0.1, alternative_em=50.0, common_run=30.0),
        check_of(0.2, 1, 45.0, kl=0.2, alternative_em=39.9),
        check_of(0.0, 0, 45.0, kl=0.1, alternative_em=39.0),
        check_of(0.0, 0, 45.0, kl=0.05, alternative_em=3.0),  # recites neither
        check_of(50.0, 50, 50.0, kl=0.0, alternative_em=0.0),  # the base model
        check_of(0.0, 0, 0.0, kl=0.51, alternative_em=50.0, common_run=0.0),  # hurt
    ]
    for better, worse in itertools.combinations(best_first, 2):
        assert rule.rank(better, 50) < rule.rank(worse, 50)


@pytest.mark.parametrize(
    "settings",
    [
        {"every": 0},
        {"max_steps": 0},
        {"forget_em": -1.0},
        {"max_kl": 0.0},
        {"max_kl": -0.5},
        {"min_bystander_em": -1.0},
        {"min_bystander_em": math.nan},
        {"min_bystander_em": "many"},
        {"min_bystander_em": True},
    ],
    ids=str,
)
def test_rules_that_make_no_sense_are_refused(settings):
    with pytest.raises(UserError, match=f"stop.{next(iter(settings))}="):
        StopRule(**settings)


def naive_em(model, rows):
    """[N], by real decoding from the prefixes."""
    model = bake(model)
    return [naive.agreement(naive.greedy(model, ids[:P], C)[0], ids[P:]) for ids in rows.ids]


def naive_common_runs(model, rows):
    """[N], by real decoding from the prefixes."""
    model = bake(model)
    return [naive.common_run(naive.greedy(model, ids[:P], C)[0], ids[P:]) for ids in rows.ids]


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
    return check_of(mean(em), percentile(torch.tensor(em), 95), mean(runs), mean(kl), step, None, mean(bystander))


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
    trained = unlearn(
        model,
        some_mask(model),
        preparation,
        objective,
        optimizer,
        stop=rule,
        make_trainer=quiet_trainer(5, [watcher]),
        batch_size=8,
    )
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
    found = callback.check(reciting, 7)
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
        self.originals, self.alternatives, self.em, self.common_run = originals, alternatives, {}, {}

    def on_train_batch_end(self, trainer, module, *rest):
        super().on_train_batch_end(trainer, module, *rest)
        self.em[trainer.global_step] = (naive_em(module.model, self.originals), naive_em(module.model, self.alternatives))
        self.common_run[trainer.global_step] = mean(naive_common_runs(module.model, self.originals))


def watched_edit(model, sets, editing, max_steps):
    watcher = WatchingAnEdit(sets.forget, editing.loss_rows)
    rule = StopRule(every=1, forget_em=1.5, max_kl=100.0, max_steps=max_steps)
    optimizer, objective = partial(torch.optim.Adam, lr=0.01), Edit(forget_weight=1.0, retain_weight=0.1)
    trained = unlearn(
        model,
        some_mask(model),
        editing,
        objective,
        optimizer,
        stop=rule,
        make_trainer=quiet_trainer(120, [watcher]),
        batch_size=8,
    )
    gone = {s for s, (em, _) in watcher.em.items() if mean(em) <= 1.5 and percentile(torch.tensor(em), 95) <= C / 5}
    recited = {s for s, (_, em) in watcher.em.items() if mean(em) >= C - C / 5}
    return trained, watcher, gone, recited


def test_an_edit_stops_when_the_alternatives_are_recited_and_the_originals_are_not(reciting, sets):
    editing = prepare(reciting, sets, partial(find_alternatives, replacements=3, seed=4, batch_size=16), batch_size=8)
    trained, watcher, gone, recited = watched_edit(reciting, sets, editing, 120)
    unsaid = {s for s, run in watcher.common_run.items() if run <= C / 5}
    assert trained.stopped_because == "forget_em" and trained.kept_step == trained.steps == min(gone & recited & unsaid)
    assert min(gone) < trained.steps  # that the originals are gone would have stopped it earlier
    assert trained.kept_check.alternative_em == pytest.approx(mean(watcher.em[trained.steps][1]))
    assert trained.kept_check.forget_longest_common_run == pytest.approx(watcher.common_run[trained.steps])
    assert naive_em(reciting, editing.loss_rows) == watcher.em[trained.steps][1]


def originals_but_for_the_first_token(model, paragraphs):
    """Targets under which EM is 0 and the text is still recited."""
    said = paragraphs.continuations.clone()
    said[:, 0] = said[:, 0] % 60 + 1
    none = torch.zeros(len(said), dtype=torch.int64)
    return Alternatives(paragraphs.with_continuations(said), torch.ones(len(said), dtype=torch.bool), none, none, none)


def test_an_edit_whose_model_still_recites_has_not_reached_its_target(reciting, sets):
    editing = prepare(reciting, sets, originals_but_for_the_first_token, batch_size=8)
    trained, watcher, gone, recited = watched_edit(reciting, sets, editing, 11)
    assert gone & recited and all(watcher.common_run[step] > C / 5 for step in gone & recited)
    assert trained.stopped_because == "max_steps" and trained.steps == 11
    assert trained.kept_step in gone & recited
    assert trained.kept_check.forget_longest_common_run == min(watcher.common_run[step] for step in gone & recited)
    # What is said is decoded only where it decides; the base model's is known anyway.
    decoded = {seen.step: seen.sets["forget"].get("longest_common_run") for seen in trained.trajectory}
    assert {step for step, runs in decoded.items() if runs is not None} == {0} | (gone & recited)
    assert mean(decoded[trained.kept_step].tolist()) == watcher.common_run[trained.kept_step]


def test_unlearning_decodes_nothing_at_its_checks(reciting, preparation, monkeypatch):
    monkeypatch.setattr("memunlearn.unlearning.stopping.greedy_continuations", None)
    optimizer, objective = partial(torch.optim.SGD, lr=0.05, momentum=0.9), Unlearn(forget_weight=1.0, retain_weight=0.1)
    rule = RULES["forgotten"][0]
    trained = unlearn(
        reciting, some_mask(reciting), preparation, objective, optimizer, stop=rule, make_trainer=quiet_trainer(), batch_size=8
    )
    assert trained.stopped_because == "forget_em" and trained.kept_check.forget_longest_common_run is None
    assert all("longest_common_run" not in seen.sets["forget"] for seen in trained.trajectory)


def with_bystanders(sets, clusters):
    """bystander_val: five rows that are recited, in these clusters."""
    rows = concatenate([sets.bystander_val, sets.bystander])
    return replace(sets, bystander_val=rows, clusters={**sets.clusters, "bystander_val": torch.tensor(clusters)})


def test_a_run_that_hurts_bystanders_is_stopped_and_a_state_that_does_not_is_kept(reciting, sets):
    base, wide = bake(reciting), with_bystanders(sets, [0, 1, 2, 3, 4])
    rule = StopRule(every=1, forget_em=0.0, max_kl=100.0, max_steps=30)
    trained, watcher = watched_run(reciting, base, wide, prepare(reciting, wide, batch_size=8), rule, 0.05)
    low = {step for step, check in watcher.checks.items() if check.bystander_val_em < 0.8 * C}
    row = range(LOW_CHECKS_IN_A_ROW)
    assert trained.stopped_because == "bystander_em"
    assert trained.steps == min(step for step in low if all(step - back in low for back in row))
    left = {step: (check.forget_em, check.retain_val_kl) for step, check in watcher.checks.items() if step not in low}
    assert trained.kept_step == min(left, key=lambda step: left[step]) and same(
        deltas_of(reciting), watcher.deltas[trained.kept_step]
    )


@pytest.mark.parametrize(
    ("clusters", "setting", "why"),
    [
        ([0, 1, 2, 3, 4], None, None),
        ([0, 1, 2, 3, 3], None, "bystander_val has 4 clusters, and fewer than 5 say too little"),
        ([0, 1, 2, 3, 3], 0, None),  # nothing was asked for
    ],
)
def test_with_few_clusters_bystanders_are_only_reported(reciting, sets, clusters, setting, why):
    preparation = prepare(reciting, with_bystanders(sets, clusters), batch_size=8)
    rule, said = rule_for(StopRule(min_bystander_em=setting), preparation)
    assert said == why and rule.hurt(check_of(bystander=1.0), C) == (
        "bystander_em" if why is None and setting is None else None
    )
    assert StopAndKeep(StopRule(min_bystander_em=setting), preparation, 4).rule == rule


def test_a_base_model_that_is_below_the_limit_itself_is_not_hurt_by_training(reciting, sets):
    wide = with_bystanders(sets, [0, 1, 2, 3, 4])
    wide.bystander_val.ids[:, P] = wide.bystander_val.ids[:, P] % 60 + 1  # not what it says
    preparation = prepare(reciting, wide, batch_size=8)
    rule, said = rule_for(StopRule(), preparation)
    own = StopAndKeep(StopRule(), preparation, 4).best.bystander_val_em
    assert own < 0.8 * C and said == f"the base model's own bystander_val EM, {own:.1f}, is below stop.min_bystander_em (7.2)"
    assert rule.hurt(check_of(bystander=0.0), C) is None


GOOD, LOW = {"em": 4.0, "bystander": 9.0}, {"em": 3.0, "bystander": 3.0}
DONE, DONE_LOW = {"em": 0.0, "bystander": 9.0}, {"em": 0.0, "bystander": 3.0}
TOO_FAR = {"em": 0.0, "kl": 0.6, "bystander": 3.0}
ROW = [LOW] * LOW_CHECKS_IN_A_ROW


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize(
    ("states", "reason", "kept"),
    [
        ([LOW, GOOD, DONE], "forget_em", 3),  # the first step of an edit may well do that
        ([GOOD, LOW, GOOD, LOW, DONE], "forget_em", 5),
        ([GOOD, *ROW], "bystander_em", 1),
        ([GOOD, *ROW[1:], GOOD, *ROW[1:], DONE], "forget_em", 2 * len(ROW) + 1),
        ([GOOD, DONE_LOW, DONE], "forget_em", 3),
        ([GOOD, DONE_LOW, *ROW[1:]], "bystander_em", 1),
        (ROW, "bystander_em", 0),
        ([LOW, TOO_FAR], "max_kl", 0),
        ([GOOD, LOW], "max_steps", 1),
    ],
)
def test_few_checks_below_the_limit_end_no_run_but_are_never_kept(reciting, sets, monkeypatch, states, reason, kept, resumed):
    preparation = prepare(reciting, with_bystanders(sets, [0, 1, 2, 3, 4]), batch_size=8)
    module = module_of(reciting, preparation, Unlearn(), torch.optim.SGD)
    rule = StopRule(every=1, forget_em=1.0)
    monkeypatch.setattr(StopAndKeep, "check", lambda self, module, step: check_of(step=step, **states[step - 1]))
    callback, trainer = StopAndKeep(rule, preparation, 4), SimpleNamespace(loggers=[], should_stop=False, global_step=0)
    module.trainer = trainer
    for step in range(1, len(states) + 1):
        assert not trainer.should_stop
        trainer.global_step = step
        callback.on_train_batch_end(trainer, module, None, None, step - 1)
        if resumed:
            state, callback = callback.state_dict(), StopAndKeep(rule, preparation, 4)
            callback.load_state_dict(state)
    assert (callback.stopped_because, callback.best.step) == (reason, kept)
    assert trainer.should_stop == (reason != "max_steps")


def test_the_base_models_check_knows_the_alternatives_of_an_edit_only(reciting, editing, preparation):
    found = StopAndKeep(StopRule(), editing, 4).best.alternative_em
    assert found == pytest.approx(mean(naive_em(reciting, editing.loss_rows))) and found < C - C / 5
    assert StopAndKeep(StopRule(), preparation, 4).best.alternative_em is None
    said = mean(naive_common_runs(reciting, editing.baselines["forget"].paragraphs))
    assert StopAndKeep(StopRule(), editing, 4).best.forget_longest_common_run == said
    assert StopAndKeep(StopRule(), preparation, 4).best.forget_longest_common_run is None
    assert StopAndKeep(StopRule(), editing, 4).check(reciting, 1).alternative_em == pytest.approx(found)
    assert StopAndKeep(StopRule(), preparation, 4).check(reciting, 1).alternative_em is None


def test_without_bystanders_there_is_no_bystander_number(reciting, sets, preparation):
    none = torch.empty(0, dtype=torch.int64)
    baselines = {**preparation.baselines, "bystander_val": preparation.baselines["bystander_val"].select(none)}
    callback = StopAndKeep(StopRule(), replace(preparation, baselines=baselines), 4)
    assert callback.best.bystander_val_em is None
    assert callback.check(reciting, 3).bystander_val_em is None


def test_the_state_goes_through_a_checkpoint(preparation):
    one, other = (StopAndKeep(StopRule(), preparation, 4) for _ in range(2))
    one.best, one.best_deltas = check_of(2.0, 3, 1.0, 0.2, step=6), {"w": torch.tensor([0.25, -3.0])}
    one.last_checked, one.stopped_because = 10, "max_kl"
    other.load_state_dict(one.state_dict())
    assert (other.best, other.last_checked, other.stopped_because) == (one.best, 10, "max_kl")
    assert torch.equal(other.best_deltas["w"], one.best_deltas["w"])
