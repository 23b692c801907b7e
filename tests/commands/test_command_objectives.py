"""Every objective and protected rows through train.py: what is measured, trained, reported and found again."""

import command_runs
import plain_transformers
import pytest
import tiny_demo
import torch
from hydra.utils import instantiate
from safetensors.torch import load_file
from test_command_configs import OPTIONS, composed

from memunlearn.objectives.material import Needs
from memunlearn.results.tables import SET_ORDER

P, C = tiny_demo.P, tiny_demo.C
FEW = ("stop.max_steps=2", "stop.every=1")


@pytest.mark.parametrize("name", OPTIONS["objective"])
def test_every_objective_trains_with_its_own_settings(tmp_path, name):
    ended = command_runs.run(
        "train",
        *tiny_demo.OVERRIDES,
        f"objective={name}",
        *FEW,
        "batch_size=4",
        "trainer.accelerator=cpu",
        directory=tmp_path,
    )
    assert ended.code == 0, ended.err
    result = ended.result
    assert result["config"]["objective"]["_target_"].startswith("memunlearn.objectives.")
    assert result["steps"] == 2 or result["stopped_because"] == "max_kl"
    deltas, _, _ = plain_transformers.read_patch(tmp_path / "patch.safetensors")
    assert any(bool(delta.any()) for delta in deltas.values()) or result["kept_step"] == 0
    assert result["after"]["retain"]["kl"] is not None
    edits = instantiate(result["config"]["objective"]).needs.alternatives
    assert ("alternative_em" in result["after"]["forget"]) == edits == ("asked for" in ended.out)
    assert ('<th scope="col">asked for</th>' in (tmp_path / "report.html").read_text("utf-8")) == edits


@pytest.mark.parametrize("name", [name for name in OPTIONS["objective"] if name != "unlearn_unbounded"])
def test_defaults_of_the_configs_are_defaults_of_the_code(name):
    made = instantiate(composed(f"objective={name}").objective)
    assert made == type(made)()


def test_a_distilled_edit_can_lower_the_originals_too(tmp_path):
    settings = ("objective=edit_distilled", "objective.original_weight=0.5", *FEW)
    ended = command_runs.train(*settings, directory=tmp_path)
    assert ended.code == 0, ended.err
    assert instantiate(ended.result["config"]["objective"]).needs == Needs(
        alternatives=True, originals=True, base_logits=("forget", "original")
    )
    assert ended.result["after"]["forget"]["alternative_em"] is not None


def test_gradient_ascent_with_a_retain_term_is_one_line(tmp_path):
    line = command_runs.train("objective=ga", "objective.retain_weight=1", directory=tmp_path).the_error()
    assert "objective.retain_weight=1 must be 0 for objective=ga" in line


def test_hidden_states_of_the_base_model_are_kept_and_used_again(tmp_path):
    settings = ("objective=rmu", "objective.layer=0", "stop.max_steps=2", "objective.forget_weight=1")
    first = command_runs.train(*settings, directory=tmp_path / "first")
    again = command_runs.train(*settings, directory=tmp_path / "again")
    assert first.code == again.code == 0, first.err + again.err
    assert "hidden states" in again.out.partition("reused from the cache: ")[2].partition("\n")[0]
    assert first.result["after"] == again.result["after"]


def test_a_layer_that_the_model_lacks_is_one_line(tmp_path):
    line = command_runs.train("objective=rmu", "objective.layer=40", directory=tmp_path).the_error()
    assert "objective.layer=40: this model has blocks 0 .. " in line


@pytest.fixture
def named(tmp_path, tiny_folder):
    """Overrides for sets by name, the memorized rows in three parts; and the rows."""
    rows = load_file(tiny_folder / "corpus.safetensors")
    memorized = rows["memorized"]
    parts = {"forget": memorized[:3], "bystander": memorized[3:6], "protected": memorized[6:], "retain": rows["unseen"]}
    for name, ids in parts.items():
        torch.save(ids, tmp_path / f"{name}.pt")
    files = {name: f"paragraphs.{name}={tmp_path}/{name}.pt" for name in parts}
    return ("model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files"), files, parts


def test_protected_rows_join_the_loss_and_are_reported_in_no_set(tmp_path, named):
    model, files, parts = named
    strong = ("objective.forget_weight=1", "objective.retain_weight=5", "stop=none", "trainer.max_steps=8", "save_model=true")
    kept = {}
    for protects in (False, True):
        directory = tmp_path / f"run_{protects}"
        given = [value for name, value in files.items() if name != "protected" or protects]
        ended = command_runs.train(*model, *given, *strong, directory=directory)
        assert ended.code == 0, ended.err
        kept[protects] = plain_nll(directory / "model", parts["protected"])
        assert ended.result["before"].keys() == set(SET_ORDER)
        sets = {row["set"] for row in command_runs.read_rows(directory)}
        assert sets <= {"forget", "bystander", "near", "retain"}
        in_file = load_file(directory / "rows.safetensors")
        assert ("protected" in in_file) == protects
    assert torch.equal(in_file["protected"], parts["protected"])
    assert kept[True] < 0.8 * kept[False]
    patch = f"patch={tmp_path}/run_True/patch.safetensors"
    judged = command_runs.run("evaluate", *model[:2], "accelerator=cpu", patch, directory=tmp_path / "judged")
    assert judged.code == 0, judged.err
    shown = [row["set"] for row in command_runs.read_rows(tmp_path / "judged")]
    assert shown.count("protected") == len(parts["protected"])


def plain_nll(folder, ids):
    model = plain_transformers.load(folder)
    with torch.no_grad():
        logits = model(ids).logits[:, P - 1 : -1].log_softmax(-1)
    return float(-logits.gather(-1, ids[:, P:].unsqueeze(-1)).mean())


def test_what_is_to_be_forgotten_cannot_be_protected(tmp_path, named):
    model, files, _ = named
    wrong = f"paragraphs.protected={tmp_path}/forget.pt"
    line = command_runs.train(*model, files["forget"], files["retain"], wrong, directory=tmp_path / "run").the_error()
    assert "rows of paragraphs.protected are near-duplicates of rows of paragraphs.forget" in line


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("paragraphs.protected_share=1.0",), "paragraphs.protected_share=1.0"),
        (("batch_size=1",), "a larger batch_size"),
        (("protocol=per_paragraph", "protocol.trials=2", "protocol.retain_batch=2"), "leave out paragraphs.protected"),
    ],
)
def test_what_does_not_go_with_protected_rows_is_one_line(tmp_path, named, settings, says):
    model, files, _ = named
    assert says in command_runs.train(*model, *files.values(), *settings, directory=tmp_path / "run").the_error()


def test_one_corpus_does_not_go_with_protected_rows(tmp_path, named):
    model, files, _ = named
    line = command_runs.train(*model, f"paragraphs.path={tmp_path}/retain.pt", files["protected"], directory=tmp_path / "run")
    assert "does not go with paragraphs.protected" in line.the_error()


def test_a_result_from_before_these_settings_is_found(tmp_path, named):
    """Configs of earlier versions have none of them."""
    from memunlearn.commands.sweep_folder import content_hash

    source = {"_target_": "memunlearn.paragraphs.sources.FileSource", "forget": "a.pt"}
    config = {"seed": 0, "paragraphs": {"forget": "a.pt", "source": source}}
    now = {"seed": 0, "paragraphs": {"forget": "a.pt", "source": source | {"protected": None}}}
    now["paragraphs"] |= {"protected": None, "protected_share": 0.5}
    assert content_hash(config) == content_hash(now)
    now["paragraphs"]["protected"] = now["paragraphs"]["source"]["protected"] = "b.pt"
    assert content_hash(config) != content_hash(now)
