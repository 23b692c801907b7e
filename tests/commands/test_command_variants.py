"""Every mask, objective, attribution, protocol and precision runs to its end, and its patch is the model."""

import re
from dataclasses import replace

import command_runs
import plain_transformers
import pytest
import tiny_demo
import torch

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.scoring.alternatives import Alternatives

FEW = ("stop=none", "trainer.max_steps=2")
ONE_STEP = ("stop.max_steps=1",)
MASKS = {
    "all": ("mask=all",),
    "gradient": ("mask=gradient",),
    "random": ("mask=random",),
    "matched": ("mask=random", "mask.match=true"),
    "layer": ("mask=gradient", "mask.layers=[1]", "mask.components=[q,mlp_in]", "mask.selection=per_tensor"),
    "head": ("mask=random", "mask.heads=[2]"),
}


def same_logits(one, other):
    ids = torch.randint(0, tiny_demo.SIZES["vocabulary"], (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.equal(one(ids).logits, other(ids).logits)


@pytest.mark.parametrize("name", MASKS)
def test_every_mask_trains_and_its_patch_is_the_model_bit_for_bit(tmp_path, tiny_folder, gradient_run, name):
    ended = command_runs.train(*MASKS[name], *FEW, "save_model=true", directory=tmp_path)
    assert ended.code == 0, ended.err
    result = ended.result
    deltas, indices, _ = plain_transformers.read_patch(tmp_path / "patch.safetensors")
    assert sum(delta.numel() for delta in deltas.values()) == result["mask"]["k"]
    assert all(flat is None for flat in indices.values()) == (name == "all")
    assert all(flat is not None for flat in indices.values()) == (name != "all")
    if name == "all":
        assert result["mask"]["k"] == result["mask"]["eligible"]
    else:
        assert result["mask"]["k"] == round(0.05 * result["mask"]["eligible"])
    if name == "layer":
        assert {component for component, count in result["mask"]["per_component"].items() if count} == {"1.q", "1.mlp_in"}
        assert len(deltas) == 2 and all(".h.1." in weight for weight in deltas)
    if name == "head":
        assert not [weight for weight in deltas if "mlp" in weight]
    if name in ("gradient", "matched"):
        assert result["mask"] == command_runs.read_result(gradient_run)["mask"]
        _, chosen, _ = plain_transformers.read_patch(gradient_run / "patch.safetensors")
        assert all(torch.equal(indices[weight], chosen[weight]) for weight in chosen) == (name == "gradient")
    by_hand = plain_transformers.patched(tiny_folder, tmp_path / "patch.safetensors")
    saved = plain_transformers.load(tmp_path / "model")
    assert same_logits(saved, by_hand) and not same_logits(saved, plain_transformers.load(tiny_folder))


@pytest.mark.parametrize("attribution", ["gradient_x_weight", "contrastive", "fisher"])
def test_every_attribution_chooses_weights_of_its_own(tmp_path, gradient_run, attribution):
    assert command_runs.train(f"attribution={attribution}", *FEW, directory=tmp_path).code == 0
    _, indices, _ = plain_transformers.read_patch(tmp_path / "patch.safetensors")
    _, by_gradient, _ = plain_transformers.read_patch(gradient_run / "patch.safetensors")
    same = indices.keys() == by_gradient.keys() and all(torch.equal(indices[name], by_gradient[name]) for name in indices)
    assert not same


def test_an_edit_learns_its_alternatives(finished_run):
    more = ("objective.forget_weight=1", "objective.replacements=4", "stop.max_steps=20", "stop.every=5")
    folder = finished_run("edit", "objective=edit", *more)
    result, rows = command_runs.read_result(folder), command_runs.read_rows(folder)
    before, after = result["before"]["forget"], result["after"]["forget"]
    assert after["alternative_nll"] < before["alternative_nll"] - 0.3
    assert after["alternative_em"] > before["alternative_em"] or after["nll"] > before["nll"]
    assert after["alternative_em_ci"] is None and "no interval for alternative_em" in after["interval_note"]  # of few rows
    assert "alternative_em" not in (result["after"]["retain"] or {})
    with_alternative = [row for row in rows if row["alternative"]]
    assert len(with_alternative) == before["alternatives"] == before["n"] - result["without_alternative"] > 0
    assert all(row["alternative"] != row["continuation_before"] and row["set"] == "forget" for row in with_alternative)
    assert [row for row in rows if row["alternative_em"] is not None] == with_alternative
    mean = sum(row["alternative_em"] for row in with_alternative) / len(with_alternative)
    assert after["alternative_em"] == pytest.approx(mean)
    assert result["kept_check"]["alternative_em"] == pytest.approx(mean)


@pytest.mark.parametrize(
    ("same", "more", "warned"),
    [
        (0, ONE_STEP, None),
        (0, (*ONE_STEP, "stop.forget_em=0"), None),
        (3, ONE_STEP, "mean EM would be 3.0, its 95th percentile 3, and the mean longest common run 3.0 of 10"),  # p95 > C/5
        (1, (*ONE_STEP, "stop.forget_em=0.9"), "mean EM would be 1.0, its 95th percentile 1, and"),
        (1, (*ONE_STEP, "stop.forget_em=1"), None),
        (-4, ONE_STEP, "mean EM would be 0.0, its 95th percentile 0, and the mean longest common run 4.0 of 10 tokens"),
        (3, FEW, None),
    ],
    ids=str,
)
def test_an_edit_that_cannot_meet_the_stop_rule_says_so(tmp_path, monkeypatch, same, more, warned):
    """Alternatives that begin (or, below 0, end) with as many tokens of the originals, and else hold one that none has."""

    def alternatives(self, model, paragraphs, replacements, seed, batch_size, *, never=None):
        unused = min(set(range(tiny_demo.SIZES["vocabulary"])) - set(paragraphs.ids.flatten().tolist()))
        said = torch.full_like(paragraphs.continuations, unused)
        kept = slice(None, same) if same >= 0 else slice(same, None)
        said[:, kept] = paragraphs.continuations[:, kept]
        none = torch.zeros(len(said), dtype=torch.int64)
        return Alternatives(paragraphs.with_continuations(said), torch.ones(len(said), dtype=torch.bool), none, none, none)

    monkeypatch.setattr(BaseMeasurements, "alternatives", alternatives)
    ended = command_runs.train("objective=edit", *more, directory=tmp_path)
    assert ended.code == 0, ended.err
    lines = [line for line in ended.out.splitlines() if "not likely to meet the stop rule" in line]
    assert len(lines) == (warned is not None) and all(warned in line for line in lines)


def test_rows_without_an_alternative_are_named(tmp_path, monkeypatch):
    real = BaseMeasurements.alternatives

    def all_but_two(self, *arguments, **settings):
        found = real(self, *arguments, **settings)
        return replace(found, found=torch.tensor([row not in (1, 3) for row in range(len(found.found))]))

    monkeypatch.setattr(BaseMeasurements, "alternatives", all_but_two)
    ended = command_runs.train("objective=edit", *FEW, directory=tmp_path)
    assert ended.code == 0, ended.err
    origins = {row["index"]: row["origin"] for row in command_runs.read_rows(tmp_path) if row["set"] == "forget"}
    (line,) = [line for line in ended.out.splitlines() if "have no alternative" in line]
    assert "2 of 4 forget paragraphs" in line and "more than 2 tokens of the original in a row" in line
    assert line.endswith(f": forget 1 ({origins[1]}), forget 3 ({origins[3]})")
    assert ended.result["rows_without_alternative"] == [1, 3] and ended.result["without_alternative"] == 2
    page = (tmp_path / "report.html").read_text()
    assert re.search(r"forget rows without an alternative</th><td>1, 3</td>", page)


def test_unlearning_has_no_alternatives(gradient_run):
    result = command_runs.read_result(gradient_run)
    assert not [key for key in result["after"]["forget"] if key.startswith("alternative")]


def test_mixed_precision_trains_fp32_deltas(tmp_path, gradient_run, tiny_folder):
    ended = command_runs.train("trainer.precision=bf16-mixed", "save_model=true", directory=tmp_path)
    assert ended.code == 0 and ended.result["steps"] == 6
    deltas, _, _ = plain_transformers.read_patch(tmp_path / "patch.safetensors")
    assert {delta.dtype for delta in deltas.values()} == {torch.float32}
    by_hand = plain_transformers.patched(tiny_folder, tmp_path / "patch.safetensors")
    assert same_logits(plain_transformers.load(tmp_path / "model"), by_hand)
    exact, _, _ = plain_transformers.read_patch(gradient_run / "patch.safetensors")
    assert any(not torch.equal(deltas[name], exact[name]) for name in deltas)  # it did compute in bf16


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_other_optimizers_and_accumulation(tmp_path, optimizer):
    ended = command_runs.train(f"optimizer={optimizer}", "accumulate=2", "batch_size=2", *FEW, directory=tmp_path)
    assert ended.code == 0 and ended.result["steps"] == 2


def test_without_a_stop_rule_the_trainer_ends_the_run(tmp_path):
    ended = command_runs.train("stop=none", "trainer.max_steps=3", directory=tmp_path)
    assert ended.code == 0, ended.err
    assert (ended.result["steps"], ended.result["stopped_because"], ended.result["kept_step"]) == (3, "max_steps", None)


@pytest.mark.parametrize(("limits", "reason"), [(("stop.forget_em=10",), "forget_em"), (("stop.max_kl=0.0001",), "max_kl")])
def test_the_reason_for_stopping_is_told(tmp_path, limits, reason):
    limits = [*limits, "stop.max_steps=60", "optimizer.lr=0.01", "objective.retain_weight=0"]
    ended = command_runs.train(*limits, "stop.every=1", directory=tmp_path)
    assert ended.code == 0 and ended.result["stopped_because"] == reason
    assert ended.result["steps"] < 60 and f"stopped because of {reason}" in ended.out
    em = [ended.result[when]["bystander"]["em"] for when in ("before", "after")]
    assert f"other memorized text: bystander EM {em[0]:.1f} -> {em[1]:.1f} tokens" in ended.out.splitlines()


def test_bystanders_of_few_clusters_are_only_reported_and_that_is_said_once(tmp_path):
    ended = command_runs.train("stop.every=1", "objective.forget_weight=1", "optimizer.lr=0.02", directory=tmp_path)
    assert ended.code == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if line.startswith("note: bystander EM")]
    assert "neither stops this run nor chooses its state: bystander_val has 1 clusters" in line
    assert ended.result["stopped_because"] != "bystander_em"


def test_a_mean_over_a_part_of_a_set_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("memunlearn.unlearning.reported.TEXTS_AT_MOST", 2)
    ended = command_runs.train(*FEW, directory=tmp_path)
    assert ended.code == 0, ended.err
    rows, after = command_runs.read_rows(tmp_path), ended.result["after"]
    for name, n in (("forget", 4), ("bystander", 2), ("retain", 2)):
        runs = [row["longest_common_run_after"] for row in rows if row["set"] == name]
        assert None not in runs[:n] and runs[n:] == [None] * (after[name]["n"] - n)
        assert after[name]["longest_common_run_n"] == n and after[name]["longest_common_run"] == sum(runs[:n]) / n
    assert f"retain, longest common run over 2 of {after['retain']['n']} rows: " in ended.out
    assert "forget, longest common run" not in ended.out  # whole: it stands in the table
    assert f"tokens, over 2 of {after['retain']['n']} rows" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("objective", ["unlearn", "edit"])
def test_the_papers_protocol_leaves_a_patch_a_trial(tmp_path, tiny_folder, objective):
    few = ["experiment=paper", "protocol.trials=3", "protocol.steps=2", f"objective={objective}", "optimizer.lr=0.01"]
    few += ["objective.replacements=8"] * (objective == "edit")
    ended = command_runs.train(*few, directory=tmp_path)
    assert ended.code == 0, ended.err
    result, rows = ended.result, command_runs.read_rows(tmp_path)
    assert sorted(path.name for path in (tmp_path / "patches").iterdir()) == [f"trial_{n:03d}.safetensors" for n in range(3)]
    assert not (tmp_path / "patch.safetensors").exists()
    assert result["after"]["forget"]["n"] == 3 and result["config"]["objective"]["retain_weight"] == 50.0
    forget = [row for row in rows if row["set"] == "forget"]
    assert [row["trial"] for row in forget] == [0, 1, 2] and len({row["index"] for row in forget}) == 3
    # Each trial starts from the base model: its own patch alone gives its forget row's numbers.
    for row, ids in zip(forget, plain_transformers.tokens_of(forget, tiny_folder), strict=True):
        patch = tmp_path / "patches" / f"trial_{row['trial']:03d}.safetensors"
        deltas, _, _ = plain_transformers.read_patch(patch)
        assert sum(delta.numel() for delta in deltas.values()) == result["mask"]["k"]
        ((em, longest, nll),) = plain_transformers.rescored(
            plain_transformers.patched(tiny_folder, patch), ids[None], tiny_demo.P
        )
        assert (row["em_after"], row["longest_run_after"]) == (em, longest)
        assert row["nll_after"] == pytest.approx(nll, abs=1e-4)
        assert abs(row["nll_after"] - row["nll_before"]) > 1e-3


def test_one_mask_for_all_trials_on_request(tmp_path):
    ended = command_runs.train("protocol=per_paragraph", "protocol.trials=2", "protocol.mask_scope=set", directory=tmp_path)
    assert ended.code == 0, ended.err
    first, second = (plain_transformers.read_patch(tmp_path / "patches" / f"trial_{n:03d}.safetensors")[1] for n in range(2))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_patches_of_another_protocol_do_not_stay_behind(tmp_path):
    assert command_runs.train("protocol=per_paragraph", "protocol.trials=2", directory=tmp_path).code == 0
    assert command_runs.train("overwrite=true", *FEW, directory=tmp_path).code == 0
    assert (tmp_path / "patch.safetensors").exists() and not (tmp_path / "patches").exists()
    assert command_runs.train("protocol=per_paragraph", "protocol.trials=1", "overwrite=true", directory=tmp_path).code == 0
    assert not (tmp_path / "patch.safetensors").exists() and len(list((tmp_path / "patches").iterdir())) == 1
