"""Weight edits and LoRA from the command: the folder of any run, a patch that is the model, a page that says what was done."""

import html

import command_runs
import plain_transformers
import pytest
import tiny_demo

slow = pytest.mark.slow
EDITS = {
    "zeroing": (("protocol.scale=0.5",), "chosen weights were moved 0.5 of the way to 0, and nothing was trained"),
    "task_vector": (("protocol.steps=3", "protocol.scale=2"), "for 3 steps, and 2 times what that changed in"),
    "balanced_subnet": (("protocol.share=0.01", "protocol.epochs=1"), "weights were set to 0: in each of 4 matrices the 0.01"),
    "kfac_edit": (("protocol.mass=0.5",), "entries of 4 matrices hold 0.5 of the curvature's mass"),
    "lora": (
        ("stop.max_steps=4", "stop.every=2"),
        "Factors of rank 1 were trained for 12 weight matrices, 1,728 numbers in all",
    ),
}
STEPS = {"zeroing": 0, "task_vector": 3, "kfac_edit": 0, "lora": 4}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == "zeroing" else slow) for name in EDITS])
def test_an_edit_leaves_what_any_run_leaves(tmp_path, tiny_folder, name):
    settings, done = EDITS[name]
    ended = command_runs.train(f"protocol={name}", *settings, "save_model=true", directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    result, patch = ended.result, tmp_path / "run" / "patch.safetensors"
    assert done in result["done"] and done in ended.out
    assert done in html.unescape((tmp_path / "run" / "report.html").read_text())
    assert result["stopped_because"] in ("max_steps", "forget_em") and result["steps"] == STEPS.get(name, result["steps"])
    deltas, _, metadata = plain_transformers.read_patch(patch)
    assert (
        sum(delta.numel() for delta in deltas.values()) == result["mask"]["k"] == sum(result["mask"]["per_component"].values())
    )
    assert ("trained" in result["mask"]) == (name == "lora") and result["mask"].get("trained", 0) <= result["mask"]["k"]
    assert metadata["config"]["protocol"]["_target_"].startswith(f"memunlearn.unlearning.edits.{name}.")
    by_hand = dict(plain_transformers.patched(tiny_folder, patch).named_parameters())
    saved = dict(plain_transformers.load(tmp_path / "run" / "model").named_parameters())
    assert all(bool((saved[weight] == by_hand[weight]).all()) for weight in saved)
    rows = [row for row in command_runs.read_rows(tmp_path / "run") if row["set"] == "forget"]
    scores = plain_transformers.rescored(
        plain_transformers.load(tmp_path / "run" / "model"), plain_transformers.tokens_of(rows, tiny_folder), tiny_demo.P
    )
    assert [row["em_after"] for row in rows] == [em for em, _, _ in scores]
    assert (tmp_path / "run" / "metrics.csv").is_file()
    judged = command_runs.evaluate(f"patch={patch}", directory=tmp_path / "judged")
    assert judged.code == 0, judged.err
    told = {(row["set"], row["index"]): row for row in command_runs.read_rows(tmp_path / "run")}
    again = {(row["set"], row["index"]): row for row in command_runs.read_rows(tmp_path / "judged")}
    assert told and told.keys() <= again.keys()
    for place, row in told.items():
        assert again[place]["em"] == row["em_after"] and again[place]["longest_run"] == row["longest_run_after"]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("protocol=zeroing", "stop=default"), "protocol=zeroing ends by itself and takes no stop rule: add stop=none"),
        (("protocol=zeroing", "protocol.scale=2"), "protocol.scale=2 must be above 0 and at most 1"),
        (("protocol=task_vector", "objective=edit"), "objective=Edit has no part in it"),
        (("protocol=balanced_subnet", "protocol.share=0"), "protocol.share=0 must be between 0 and 1"),
        (("protocol=kfac_edit", "protocol.mass=1"), "protocol.mass=1 must be between 0 and 1"),
        (("protocol=lora", "protocol.rank=two"), "protocol.rank=two must be a whole number"),
        (("protocol=lora", "mask.fraction=0.001"), "and factors of rank 1 have 1728 numbers: set mask.fraction to"),
        (("protocol=balanced_subnet", "protocol.share=1e-6"), "is not even one: give at least"),
        (("protocol=kfac_edit", "mask.components=[q]", "mask.heads=[1]"), "leave only a part of"),
        (("optimizer=kfac", "optimizer.rows=2.5"), "error: optimizer.rows=2.5 must be 1 or more"),
        (("optimizer=kfac", "optimizer.device=cuda:99"), "error: optimizer.device=cuda:99 is not on this machine"),
        (("protocol=lora", "optimizer=kfac"), "needs one of PyTorch's optimizers: optimizer=adam"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_before_any_work(tmp_path, overrides, says):
    ended = command_runs.run("train", *tiny_demo.OVERRIDES, *overrides, directory=tmp_path)
    assert says in ended.the_error() and not (tmp_path / "result.json").exists() and "attributing" not in ended.out


@slow
@pytest.mark.parametrize("name", ["lora", "task_vector", "balanced_subnet"])
def test_an_interrupted_edit_goes_on_to_the_same_patch(tmp_path, monkeypatch, name):
    settings = (f"protocol={name}", "callbacks.checkpoint.every_n_train_steps=1")
    more = {"lora": ("stop.max_steps=4",), "task_vector": ("protocol.steps=4",), "balanced_subnet": ("protocol.epochs=2",)}[
        name
    ]
    whole = command_runs.train(*settings, *more, directory=tmp_path / "whole")
    assert whole.code == 0, whole.err
    from memunlearn.unlearning.module import Unlearning

    step = Unlearning.training_step

    def interrupted(module, batch, index):
        if module.global_step == 3:
            raise KeyboardInterrupt
        return step(module, batch, index)

    monkeypatch.setattr(Unlearning, "training_step", interrupted)
    assert command_runs.train(*settings, *more, directory=tmp_path / "cut").code != 0
    monkeypatch.setattr(Unlearning, "training_step", step)
    assert (tmp_path / "cut" / "checkpoints" / "last.ckpt").is_file()
    resumed = command_runs.run("train", "resume=true", directory=tmp_path / "cut")
    assert resumed.code == 0, resumed.err
    one, other = (plain_transformers.read_patch(tmp_path / run / "patch.safetensors")[0] for run in ("whole", "cut"))
    assert one.keys() == other.keys() and all(bool((one[weight] == other[weight]).all()) for weight in one)
    assert resumed.result["done"] == whole.result["done"]
