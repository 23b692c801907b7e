"""Settings that cannot work: one line that says what to do, exit code 2, no traceback, no result."""

import command_runs
import pytest
import tiny_demo
import torch

# Overrides, and what the line must say.
MISTAKES = {
    "unknown override": (["mask.fracton=0.1"], "fracton"),
    "unknown top-level override": (["sede=1"], "sede"),
    "unknown option": (["mask=gradent"], "gradent"),
    "unknown group": (["maks=all"], "maks"),
    "a group without an option": (["optimizer=null"], "string"),
    "broken override": (["mask.layers=[1"], "[1"),
    "seed is a word": (["seed=abc"], "seed=abc"),
    "seed is null": (["seed=null"], "seed"),
    "seed is negative": (["seed=-1"], "seed=-1"),
    "fraction is a word": (["mask.fraction=many"], "mask.fraction=many"),
    "fraction is zero": (["mask.fraction=0"], "mask.fraction=0"),
    "fraction is above one": (["mask.fraction=1.5"], "mask.fraction=1.5"),
    "fraction is negative": (["mask.fraction=-0.1"], "mask.fraction=-0.1"),
    "fraction is NaN": (["mask.fraction=nan"], "mask.fraction=nan"),
    "fraction of less than one weight": (["mask.fraction=1e-9"], "not even one"),
    "filter selects nothing": (["mask.layers=[7]"], "layers: 7"),
    "unknown component": (["mask.components=[mlp]"], "mlp"),
    "unknown head": (["mask.heads=[9]"], "heads: 9"),
    "layers is a word": (["mask.layers=abc"], "layers=abc"),
    "unknown selection": (["mask.selection=best"], "mask.selection=best"),
    "batch_size is zero": (["batch_size=0"], "batch_size=0"),
    "batch_size is negative": (["batch_size=-4"], "batch_size=-4"),
    "batch_size is half": (["batch_size=0.5"], "batch_size=0.5"),
    "batch_size is no whole number": (["batch_size=1.5"], "batch_size=1.5"),
    "batch_size is a word": (["batch_size=big"], "batch_size=big"),
    "accumulate is zero": (["accumulate=0"], "accumulate=0"),
    "accumulate is a word": (["accumulate=two"], "accumulate=two"),
    "compiled by half": (["compile=0.5"], "compile=0.5 must be true or false"),
    "computed again three times": (["gradient_checkpointing=3"], "gradient_checkpointing=3 must be true or false"),
    "two devices": (["trainer.devices=2"], "trainer.devices=2"),
    "half precision": (["trainer.precision=bf16-true"], "bf16-mixed"),
    "an untested strategy": (["trainer.strategy=fsdp"], "trainer.strategy=fsdp"),
    "no such accelerator": (["trainer.accelerator=quantum"], "accelerator=quantum"),
    "clipping by a word": (["trainer.gradient_clip_val=much"], "gradient_clip_val"),
    "learning rate is a word": (["optimizer.lr=fast"], "optimizer"),
    "learning rate is negative": (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
    "forget weight is negative": (["objective.forget_weight=-1"], "objective.forget_weight=-1"),
    "retain weight is a word": (["objective.retain_weight=abc"], "abc"),
    "a bound of nothing": (["objective.max_token_nll=0"], "objective.max_token_nll=0"),
    "stop.every is zero": (["stop.every=0"], "stop.every=0"),
    "stop.max_steps is a word": (["stop.max_steps=long"], "long"),
    "bystander EM is a word": (["stop.min_bystander_em=most"], "stop.min_bystander_em=most must be a number of tokens"),
    "bystander EM is negative": (["stop.min_bystander_em=-1"], "stop.min_bystander_em=-1"),
    "more bystander EM than tokens": (["stop.min_bystander_em=10.5"], "more than the 10 tokens of a continuation"),
    "too small a demo": (["demo.memorized=0"], "demo.memorized"),
    "an odd demo": (["demo.layers=3"], "demo.layers"),
    "too few forget rows": (["paragraphs.max_forget=0"], "paragraphs.max_forget=0"),
    "max_retain is a word": (["paragraphs.max_retain=all"], "paragraphs.max_retain=all"),
    "no prefix": (["paragraphs.prefix_length=0"], "prefix_length"),
    "a mask's lr, as it was": (["mask.lr=0.01"], "mask.lr=0.01: this setting is optimizer.lr now: write optimizer.lr=0.01"),
    "a mask's scope, as it was": (["++mask.scope=set"], "this setting is protocol.mask_scope now"),
    "a folder that cannot be made": (["hydra.output_subdir=/proc/no/such"], "/proc/no"),
    "save_model is a word": (["save_model=maybe"], "save_model=maybe"),
    "resume is a word": (["resume=perhaps"], "resume=perhaps"),
}
PER_PARAGRAPH = {
    "a stop rule": (["stop=default"], "stop=none"),
    "more trials than rows": (["protocol.trials=50"], "protocol.trials=50"),
    "no steps": (["protocol.steps=0"], "protocol.steps=0"),
    "accumulation": (["accumulate=2"], "accumulate=1"),
    "one model of many trials": (["save_model=true"], "save_model"),
}


def nothing_left(directory):
    """Hydra's own files and what resuming needs may be there; nothing under a name that users read."""
    finals = {"result.json", "paragraphs.parquet", "patch.safetensors", "patches", "model", "report.html", "evaluation.json"}
    return not finals & {path.name for path in directory.rglob("*")}


def plain_train(*overrides, directory):
    """Of the method that has most of the settings."""
    given = (*tiny_demo.OVERRIDES, "experiment=contrastive", "trainer.accelerator=cpu", *overrides)
    return command_runs.run("train", *given, directory=directory)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_setting_that_cannot_work_ends_with_one_line(tmp_path, mistake):
    overrides, said = MISTAKES[mistake]
    ended = plain_train("batch_size=4", "stop.max_steps=1", *overrides, directory=tmp_path)
    line = ended.the_error()
    assert said in line and nothing_left(tmp_path), line


# Of the default method, of which each is another method's setting.
OF_ANOTHER = {
    "optimizer.lr=0.01": ("the optimizer that is chosen has no lr", "optimizer=adam"),
    "objective.max_token_nll=3": ("the objective that is chosen has no max_token_nll", "choose objective=unlearn or "),
    "mask.selection=per_tensor": ("the mask that is chosen has no selection", "choose mask=gradient or "),
    "protocol.steps=3": ("the protocol that is chosen has no steps", "choose protocol=per_paragraph or "),
    "stop.every=0 stop=none": ("the stop that is chosen has no every", "choose stop=default, which has it"),
    "protocol=per_paragraph stop.forget_em=3": ("protocol=per_paragraph goes without a stop rule", "leave it out"),
    "stop=none stop.forget_em=3": ("the stop that is chosen has no forget_em", "choose stop=deep or stop=default"),
    "protocol=kfac_edit mask.fraction=0.1": ("mask.fraction=0.1 has no effect on KfacEdit", "leave it out"),
    "protocol=balanced_subnet attribution=fisher": ("attribution=fisher has no effect on BalancedSubnet", "leave it out"),
    "rehearsal.steps=3": ("rehearsal.steps: nothing is relearned in this run", "add rehearsal=relearning"),
    "attacks=pruning attacks.pruning.nothing=1": ("attacks.pruning.nothing", "nothing"),
    "attacks.pruning.shares=[0.1]": ("attacks=pruning is not chosen", "add attacks=pruning"),
    "seeds=4": ("seeds=4: seeds is not a setting itself", "seeds.split, seeds.mask, seeds.training"),
    "experiment=robust stop=none": ("of an experiment", "leave stop=none or the protocol out"),
    "optimizer.sparse=project": ("optimizer.sparse=project has no effect on mask=all", "add mask=gradient or mask=random"),
    "mask.fraction=0.05": ("mask.fraction=0.05 has no effect on mask=all, the default", "leave it out, or add mask=gradient"),
    "attribution=fisher": ("attribution=fisher has no effect on mask=all, the default", "leave it out, or add mask=gradient"),
    "attribution=fisher attribution.quantile=0.5": ("attribution=fisher has no effect", "add mask=gradient"),
}


@pytest.mark.parametrize("given", OF_ANOTHER)
def test_a_setting_of_another_method_ends_with_the_way_out(tmp_path, given):
    ended = command_runs.run("train", *tiny_demo.OVERRIDES, "trainer.accelerator=cpu", *given.split(), directory=tmp_path)
    line = ended.the_error()
    assert all(said in line for said in OF_ANOTHER[given]) and nothing_left(tmp_path), line


def test_a_group_that_a_command_does_not_have_is_not_advised(tmp_path):
    line = command_runs.evaluate("mask.fraction=0.05", directory=tmp_path).the_error()
    assert "mask.fraction" in line and "choose" not in line


def test_a_mask_that_is_said_to_be_all_may_stand_beside_what_it_does_not_heed(tmp_path):
    """As in a sweep over masks."""
    settings = ("objective=unlearn", "optimizer=adam", "mask=all", "mask.fraction=0.05", "attribution=fisher")
    given = (*tiny_demo.OVERRIDES, "trainer.accelerator=cpu", "stop.max_steps=1", *settings)
    ended = command_runs.run("train", *given, directory=tmp_path)
    assert ended.code == 0 and ended.result["mask"]["k"] == ended.result["mask"]["eligible"], ended.err


@pytest.mark.parametrize("mistake", PER_PARAGRAPH)
def test_what_trials_cannot_do_ends_with_one_line(tmp_path, mistake):
    overrides, said = PER_PARAGRAPH[mistake]
    trials = ["protocol=per_paragraph", "protocol.trials=2", "protocol.steps=1"]
    ended = plain_train(*trials, *overrides, directory=tmp_path)
    line = ended.the_error()
    assert said in line and nothing_left(tmp_path), line


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["batch_size=0"], "batch_size=0"),
        (["batch_size=many"], "batch_size=many"),
        (["seed=abc"], "seed=abc"),
        (["accelerator=quantum"], "accelerator=quantum"),
        (["patch=nowhere.safetensors"], "nowhere.safetensors"),
        (["reference=/no/where"], "/no/where"),
        (["patch=a", "reference=b"], "one of them"),
        (["mask=all"], "mask"),
        (["certificate=maybe"], "certificate=maybe: certificate is not a setting itself; it has these: certificate.write"),
        (["p_z=40"], "p_z=40: p_z is not a setting itself; it has these: p_z.top_k, p_z.temperature"),
    ],
)
def test_evaluate_refuses_in_one_line_too(tmp_path, overrides, said):
    ended = command_runs.evaluate(*overrides, directory=tmp_path)
    assert said in ended.the_error() and nothing_left(tmp_path)


def test_out_of_memory_says_what_to_lower(tmp_path):
    def task(cfg):
        torch.empty(2**50)

    ended = command_runs.run_task(task, "train", directory=tmp_path)
    assert "batch_size" in ended.the_error() and "accumulate" in ended.the_error()


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_other_kinds_of_out_of_memory(tmp_path, error):
    def task(cfg):
        raise error

    assert "batch_size" in command_runs.run_task(task, "train", directory=tmp_path).the_error()


def test_a_fault_of_ours_keeps_its_traceback(tmp_path):
    def task(cfg):
        raise KeyError("not the user's doing")

    with pytest.raises(KeyError, match="not the user's doing"):
        command_runs.run_task(task, "train", directory=tmp_path)


def test_full_error_shows_the_traceback_and_still_exits_with_2(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    ended = plain_train("batch_size=0", directory=tmp_path)
    assert ended.code == 2 and len(ended.error_lines) == 1
    assert "Traceback (most recent call last)" in ended.err and "UserError" in ended.err


@pytest.mark.slow
def test_a_real_process_ends_with_one_line_where_the_hub_is_out_of_reach(tmp_path):
    ended = command_runs.real(
        "train.py",
        "model=gpt_neo_125m",
        f"hydra.run.dir={tmp_path}",
        directory=tmp_path,
        HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path / "hub"),
        HYDRA_FULL_ERROR="",
    )
    line = ended.the_error()
    assert "EleutherAI/gpt-neo-125m" in line and "model=local model.name_or_path=DIR" in line
    assert nothing_left(tmp_path)


def test_an_unknown_scope_of_a_mask_is_refused(tmp_path):
    ended = plain_train("protocol=per_paragraph", "protocol.mask_scope=row", directory=tmp_path)
    assert "protocol.mask_scope=row" in ended.the_error() and nothing_left(tmp_path)


def test_an_own_config_with_a_mask_s_lr_as_it_was_is_refused(tmp_path):
    own = tmp_path / "own" / "mask"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("defaults: [gradient, _self_]\nlr: 0.01\n")
    ended = plain_train("mask=mine", f"hydra.searchpath=[file://{own.parent}]", directory=tmp_path / "run")
    assert "mask.lr=0.01: this setting is optimizer.lr now" in ended.the_error()


def test_a_loss_that_becomes_nan_keeps_the_last_good_state(tmp_path):
    ended = plain_train("optimizer.lr=1e30", "stop.max_steps=4", "mask.fraction=0.05", directory=tmp_path)
    line, result = ended.the_error(), ended.result
    assert f"after step {result['kept_step']}" in line and "optimizer.lr" in line
    assert result["stopped_because"] == "nan"
    from plain_transformers import read_patch

    deltas, _, _ = read_patch(tmp_path / "patch.safetensors")
    assert deltas and all(bool(delta.isfinite().all()) for delta in deltas.values())
    assert result["after"]["forget"]["nll"] is not None


def test_trials_that_become_nan_are_told_without_a_kept_step(tmp_path):
    ended = plain_train(
        "protocol=per_paragraph", "protocol.trials=2", "protocol.steps=3", "optimizer.lr=1e30", directory=tmp_path
    )
    line = ended.the_error()
    assert "None" not in line and "optimizer.lr" in line and ended.result["stopped_because"] == "nan"
