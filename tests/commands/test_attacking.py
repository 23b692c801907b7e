"""Which text the attacks may use, what an attack's key depends on, and what lies in the folder afterwards."""

import copy
import dataclasses

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from test_command_configs import ATTACKS, CONF

from memunlearn.attacks.attempt import Attempt
from memunlearn.attacks.material import Subject
from memunlearn.attacks.run import Attacked
from memunlearn.caching.keys import digest
from memunlearn.commands import attacking
from memunlearn.commands.attacking import attack_key, attack_models, target_of, with_patch
from memunlearn.commands.attacks_folder import keep_attacked, kept_attacked
from memunlearn.models.loading import LoadedModel
from memunlearn.models.patches import Patch, apply_patch
from memunlearn.models.sparse_delta import base_parameters


@pytest.fixture
def patch(reciting):
    """The first MLP matrix is changed in every second weight."""
    from memunlearn.models.fingerprints import fingerprint

    name = "transformer.h.0.mlp.c_fc.weight"
    flat = torch.arange(0, base_parameters(reciting)[name].numel(), 2)
    delta = 0.5 * torch.randn(len(flat), generator=torch.Generator().manual_seed(2))
    return Patch({name: flat}, {name: delta}, fingerprint(reciting), {})


@pytest.fixture
def target(reciting, patch, sets):
    return make_target(reciting, patch, sets.by_name(), sets.clusters["forget"])


def make_target(model, patch, sets, clusters, **more):
    given = {"base": model, "patch": patch, "loaded": LoadedModel(model, None, "tiny"), "batch_size": 4, "seed": 0}
    return target_of(sets, clusters, **(given | more))


def test_unrelated_text_is_of_sets_that_no_loss_has_seen(reciting, patch, sets):
    by_name, clusters = sets.by_name(), sets.clusters["forget"]
    nothing = sets.retain.select([])
    target = make_target(reciting, patch, by_name, clusters)
    assert torch.equal(target.others.ids, sets.retain.ids) and torch.equal(target.forget.ids, sets.forget.ids)
    val = make_target(reciting, patch, by_name | {"retain": nothing}, clusters)
    assert torch.equal(val.others.ids, sets.retain_val.ids)
    last = make_target(reciting, patch, {"forget": sets.forget, "retain_train": sets.retain_train}, clusters)
    assert torch.equal(last.others.ids, sets.retain_train.ids)
    assert len(make_target(reciting, patch, {"forget": sets.forget}, clusters).others) == 0


def test_base_and_unlearned_model_whatever_the_model_carries(reciting, patch):
    plain = {name: value.clone() for name, value in base_parameters(reciting).items()}
    carrying = copy.deepcopy(reciting)
    apply_patch(carrying, patch)
    (name,) = patch.deltas
    for model in (reciting, carrying):
        base, unlearned = with_patch(model, patch)
        for key, value in plain.items():
            assert torch.equal(base_parameters(base)[key], value)
            if key == name:
                value = value.flatten().index_add(0, patch.indices[name], patch.deltas[name]).view_as(value)
            assert torch.equal(base_parameters(unlearned)[key], value)
        assert not base.training and not unlearned.training


@pytest.mark.parametrize("name", ATTACKS)
def test_every_setting_of_an_attack_changes_its_key(name, reciting, target):
    """Its config holds all of them."""
    options = OmegaConf.to_container(OmegaConf.load(CONF / "attacks" / f"{name}.yaml"))
    subject = Subject("base", reciting)
    key = digest(attack_key(name, subject, target, options, {}))
    for setting in options:
        assert digest(attack_key(name, subject, target, options | {setting: "another"}, {})) != key, setting


def test_what_else_is_attacked_beside_it_does_not(reciting, half_trained, target):
    """So that nothing is done again when an oracle comes."""
    subjects = [Subject("base", reciting), Subject("unlearned", half_trained), Subject("oracle", reciting)]
    for subject in subjects[:2]:
        alone, beside = (
            digest(attack_key("pruning", subject, target, {}, attacking.hashes_of(some, target)))
            for some in (subjects[:2], subjects)
        )
        assert alone == beside
    other = [subjects[0], Subject("unlearned", reciting)]
    assert digest(attack_key("pruning", other[1], target, {}, attacking.hashes_of(other, target))) != alone


def test_a_library_that_comes_makes_its_attempt_be_made(reciting, target, monkeypatch):
    key = digest(attack_key("quantization", Subject("base", reciting), target, {}, {}))
    monkeypatch.setattr(attacking, "OPTIONAL", ("a_library_that_is_not_there",))
    assert digest(attack_key("quantization", Subject("base", reciting), target, {}, {})) != key


def test_what_an_attack_uses_changes_its_key(reciting, half_trained, patch, sets, target):
    def key(target, subject=None, name="pruning"):
        subject = subject or Subject("base", reciting)
        hashes = attacking.hashes_of([subject], target)
        return digest(attack_key(name, subject, target, {"shares": [0.5]}, hashes))

    same = dataclasses.replace(target, batch_size=9)
    assert key(same) == key(target) == key(copy.copy(target))
    others = [
        key(target, name="another"),
        key(target, Subject("unlearned", reciting)),
        key(target, Subject("base", half_trained)),
        key(dataclasses.replace(target, seed=1)),
        key(dataclasses.replace(target, clusters=target.clusters + 1)),
        key(dataclasses.replace(target, others=sets.retain_val)),
        key(dataclasses.replace(target, forget=sets.bystander)),
        key(dataclasses.replace(target, forget=dataclasses.replace(sets.forget, prefix_length=6))),
        key(dataclasses.replace(target, patch=None)),
        key(dataclasses.replace(target, weights=target.weights[1:])),
        key(dataclasses.replace(target, patch=dataclasses.replace(patch, deltas={n: -d for n, d in patch.deltas.items()}))),
    ]
    assert len({key(target), *others}) == 1 + len(others)


def test_what_was_kept_is_read_back_whole(tmp_path):
    attempt = Attempt(
        settings={"on": "half", "lr": 2e-5, "steps": 5},
        rows=torch.tensor([3, 1]),
        em=torch.tensor([9, 0]),
        longest_run=torch.tensor([9, 4]),
        nll=torch.tensor([0.25, float("nan")]),
        counts=False,
        note="too weak",
        extra={"attacked_em": 3.5, "share": float("nan")},
        whole=torch.tensor([True, False]),
    )
    keep_attacked(tmp_path, {"a": 1}, Attacked("relearning", "oracle", [attempt], 2.5))
    kept = kept_attacked(tmp_path, {"a": 1}, "relearning", "oracle")
    (back,) = kept.attempts
    assert (kept.attack, kept.subject, kept.seconds) == ("relearning", "oracle", 2.5)
    for field in dataclasses.fields(Attempt):  # one that is added is not to be forgotten here
        kept_value, value = getattr(back, field.name), getattr(attempt, field.name)
        if isinstance(value, torch.Tensor):
            assert kept_value.dtype == value.dtype and torch.equal(kept_value.nan_to_num(7), value.nan_to_num(7)), field.name
        elif field.name == "extra":
            assert kept_value["attacked_em"] == 3.5 and kept_value["share"] != kept_value["share"]
        else:
            assert kept_value == value, field.name
    assert kept_attacked(tmp_path, {"a": 2}, "relearning", "oracle") is None
    assert kept_attacked(tmp_path, {"a": 1}, "relearning", "base") is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": "KEY", "attempts": [{}], "seconds": 1}'])
def test_a_damaged_file_is_said_and_done_again(tmp_path, damage, capsys):
    keep_attacked(tmp_path, {"a": 1}, Attacked("pruning", "base", [], 1.0))
    (file,) = (tmp_path / "attacks").iterdir()
    file.write_text(damage.replace("KEY", digest({"a": 1})))
    assert kept_attacked(tmp_path, {"a": 1}, "pruning", "base") is None
    assert "pruning is done again" in capsys.readouterr().out


class Interrupted(Exception):
    pass


def test_an_interrupted_call_goes_on_where_it_was(tmp_path, reciting, half_trained, target):
    """At most one attack on one model is lost; another setting is another attack."""
    options = {
        name: OmegaConf.to_container(OmegaConf.load(CONF / "attacks" / f"{name}.yaml")) for name in ("pruning", "partial")
    }
    called = []

    def attack(name, fails=False):
        made = instantiate(options[name], _convert_="all")

        def counted(subject, target):
            called.append((name, subject.name))
            if fails and subject.name == "unlearned":
                raise Interrupted
            return made(subject, target)

        return counted

    def run(fails):
        attacks = {"pruning": attack("pruning"), "partial": attack("partial", fails)}
        subjects = [Subject("base", reciting), Subject("unlearned", half_trained)]
        return attack_models(
            attacks, subjects, target, config={"attacks": options}, environment={}, notes=(), directory=tmp_path
        )

    with pytest.raises(Interrupted):
        run(fails=True)
    assert not (tmp_path / "attacks.json").exists()
    assert called == [(name, subject) for name in ("pruning", "partial") for subject in ("base", "unlearned")]
    called.clear()
    first = run(fails=False)
    assert called == [("partial", "unlearned")]
    called.clear()
    again = run(fails=False)
    assert called == [] and again["attacks"] == first["attacks"]
    options["pruning"]["shares"] = [0.3]
    run(fails=False)
    assert called == [("pruning", "base"), ("pruning", "unlearned")]
