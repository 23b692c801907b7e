"""evaluate.py patch=FILE beside an oracle, and membership."""

import dataclasses
import json
import shutil

import command_runs
import numpy as np
import pytest
import tiny_demo
import torch
from judged_patches import judge, rewritten, save, sets_of
from omegaconf import OmegaConf
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from memunlearn.commands.inputs import load_configured_model
from memunlearn.commands.never_seen import with_unseen_rows
from memunlearn.commands.oracle import ReferenceModels, oracle_of
from memunlearn.commands.run_rows import RunRows
from memunlearn.demo.training import new_gpt_neo
from memunlearn.errors import UserError
from memunlearn.models.__main__ import main as models
from memunlearn.models.fingerprints import fingerprint
from memunlearn.models.loading import LoadedModel
from memunlearn.paragraphs.paragraph_set import ParagraphSet
from memunlearn.scoring.score import score

MODELS = {"base", "unlearned", "oracle", "second_oracle"}


def read(directory):
    return command_runs.read_result(directory, "evaluation.json")


@pytest.fixture
def judged(gradient_run, once, tiny_cache):
    """`evaluate.py patch=FILE demo.oracle=true` of a run on the tiny demo."""

    def make(folder):
        ended = judge(gradient_run / "patch.safetensors", "demo.oracle=true", directory=folder)
        assert ended.code == 0, ended.err
        folder.with_name("beside the oracle.terminal.txt").write_text(ended.out)

    return once("beside the oracle", make)


@pytest.fixture
def oracle_folders(judged, tiny_folder):
    """The oracles' checkpoints, from the cache."""
    return [place for place in sorted(tiny_folder.parent.glob(f"{tiny_folder.name}-oracle-*")) if place.is_dir()]


@pytest.fixture
def oracle_folder(oracle_folders):
    return oracle_folders[0]


def test_base_unlearned_and_oracles_stand_side_by_side(judged, gradient_run):
    oracle = read(judged)["oracle"]
    assert set(oracle["models"]) == MODELS and set(oracle["kl"]) == set(oracle["nll_distance"]) == MODELS - {"oracle"}
    before = command_runs.read_result(gradient_run)["before"]
    for of_set in ("forget", "bystander"):
        assert oracle["models"]["base"][of_set]["em"] == before[of_set]["em"]
        assert oracle["models"]["unlearned"][of_set]["em"] == read(judged)["sets"][of_set]["em"]
    for name in ("oracle", "second_oracle"):
        assert oracle["models"][name]["forget"]["em"] < 2 and oracle["models"][name]["bystander"]["em"] > 9.8
        assert oracle["models"][name]["forget"]["nll"] > 2 * oracle["models"]["base"]["forget"]["nll"]
    assert oracle["nll_distance"]["base"]["value"] == 1.0  # no row of the base is as unfamiliar as any of the oracle's
    assert 0 < oracle["kl"]["second_oracle"]["retain"]["mean"] < oracle["kl"]["base"]["forget"]["mean"]
    said = judged.with_name("beside the oracle.terminal.txt").read_text()
    assert "oracle 2" in said
    assert "equal" not in said + json.dumps(read(judged)["oracle"]) + json.dumps(read(judged)["membership"])


def test_membership_is_told_by_rows_that_stood_in_no_loss(judged):
    found = read(judged)["membership"]
    rows = command_runs.read_rows(judged)
    assert {row["set"] for row in rows if row["origin"].startswith("demo unseen:")} >= {"retain", "retain_val", "retain_train"}
    unseen = [row for row in rows if row["origin"].startswith("demo unseen:") and row["set"] in ("retain", "retain_val")]
    forget = [row for row in rows if row["set"] == "forget"]
    assert found["never_seen"]["n"] == len(unseen) > 0 and found["forgotten"]["n"] == len(forget) == 4
    pairs = [(one["nll"] < other["nll"]) + 0.5 * (one["nll"] == other["nll"]) for one in forget for other in unseen]
    assert found["scores"]["nll"]["unlearned"]["auroc"] == pytest.approx(np.mean(pairs))
    assert found["scores"]["nll"]["base"]["auroc"] == 1.0 and found["scores"]["nll"]["oracle"]["auroc"] < 1
    assert set(found["scores"]) == {"nll", "zlib", "min_k", "min_k_pp", "reference"} and found["reason"] is None
    for of_score in found["scores"].values():
        assert of_score["base"]["auroc"] == 1.0 > of_score["oracle"]["auroc"] and of_score["unlearned"]["auroc"] is not None
    assert set(found["scores"]["reference"]) >= {"base", "unlearned", "oracle"}
    assert found["distribution_shift"] is None  # four rows are too few to know


def test_a_second_call_trains_and_measures_nothing_of_the_oracles_again(judged, gradient_run, tmp_path, monkeypatch):
    def again(*arguments, **settings):
        raise AssertionError("trained again")

    monkeypatch.setattr("memunlearn.demo.training.train_demo_model", again)
    ended = judge(gradient_run / "patch.safetensors", "demo.oracle=true", directory=tmp_path / "again")
    assert ended.code == 0, ended.err
    assert "building the demo's oracle" not in ended.out and "baselines (3)" in ended.out
    assert read(tmp_path / "again")["oracle"] == read(judged)["oracle"]


def test_an_oracle_of_ones_own(judged, gradient_run, oracle_folders, tmp_path):
    """The demo's, given by its folder, says the same; without a second one there is no yardstick."""
    oracle_folder = oracle_folders[0]
    given = [f"reference.oracle={oracle_folder}"]
    ended = judge(gradient_run / "patch.safetensors", *given, directory=tmp_path / "own")
    assert ended.code == 0, ended.err
    own, built = read(tmp_path / "own"), read(judged)
    matching = [
        name for name in ("oracle", "second_oracle") if own["oracle"]["models"]["oracle"] == built["oracle"]["models"][name]
    ]
    assert len(matching) == 1 and own["oracle"]["second_oracle"] is None and "second_oracle" not in own["oracle"]["models"]
    assert "second oracle is needed" in own["membership"]["scores"]["reference"]["oracle_note"]
    again = f"reference.second_oracle={oracle_folder}"
    assert "no yardstick" in judge(gradient_run / "patch.safetensors", *given, again, directory=tmp_path / "both").the_error()
    other = next(place for place in oracle_folders if place != oracle_folder)
    second = [*given, f"reference.second_oracle={other}"]
    assert judge(gradient_run / "patch.safetensors", *second, directory=tmp_path / "both").code == 0
    assert read(tmp_path / "both")["oracle"]["nll_distance"]["second_oracle"]["value"] > 0


def test_never_seen_rows_that_begin_otherwise_are_refused(gradient_run, tiny_folder, tmp_path, monkeypatch):
    """Else BOS would count as text of the forget rows, too."""
    from memunlearn.commands import never_seen
    from memunlearn.paragraphs.readers import read_paragraphs

    def with_bos(*arguments, **settings):
        read = read_paragraphs(*arguments, **settings)
        return dataclasses.replace(read, paragraphs=dataclasses.replace(read.paragraphs, text_start=1))

    monkeypatch.setattr(never_seen, "read_paragraphs", with_bos)
    path = save(load_file(tiny_folder / "corpus.safetensors")["background"][200:210], tmp_path / "unseen.pt")
    line = judge(gradient_run / "patch.safetensors", f"paragraphs.unseen={path}", directory=tmp_path / "judged").the_error()
    assert "that begin alike" in line and "1 tokens in front of the text" in line


def test_never_seen_rows_are_like_any_row_that_was_used(tmp_path):
    """One that shares text with a reported row and with one in a loss counts as used, though it has the first one's cluster."""
    ids = torch.arange(80).view(2, 40)
    path = save(torch.stack([torch.cat([ids[0, :20], ids[1, 20:]]), torch.arange(80, 120)]), tmp_path / "unseen.pt")
    run = RunRows(
        rows=ParagraphSet(ids, 20, ("a", "b")),
        names=["retain", "protected"],
        clusters=torch.tensor([0, 1]),
        bins=[None, None],
        self_generated=False,
        found={},
    )
    cfg = OmegaConf.create({"paragraphs": {"unseen": str(path), "prefix_length": 20, "continuation_length": 20}})
    model = new_gpt_neo(128, 2, 8, 2)
    chosen, left_out = with_unseen_rows(cfg, run, LoadedModel(model, None, "here"), {})
    assert left_out == 1 and list(chosen.names) == ["retain", "protected", "unseen"]
    assert chosen.rows.ids[2].tolist() == list(range(80, 120))


def test_without_an_oracle_the_models_are_told_apart_all_the_same(gradient_run, tmp_path):
    ended = judge(gradient_run / "patch.safetensors", directory=tmp_path / "judged")
    found = read(tmp_path / "judged")
    assert ended.code == 0 and found["oracle"] is None
    assert set(found["membership"]["scores"]["nll"]) == {"base", "unlearned", "privleak", "privleak_note"}
    assert "no privleak for NLL" in ended.out and "there is no oracle's AUROC" in ended.out


def test_never_seen_rows_of_ones_own(gradient_run, tiny_folder, tmp_path):
    rows = load_file(tiny_folder / "corpus.safetensors")
    train = [row["origin"] for row in command_runs.read_rows(gradient_run)]
    fresh = rows["background"][200:230]  # never-seen by this command's word
    path = save(torch.cat([fresh, rows["memorized"]]), tmp_path / "unseen.pt")
    ended = judge(gradient_run / "patch.safetensors", f"paragraphs.unseen={path}", directory=tmp_path / "judged")
    assert ended.code == 0, ended.err
    sets, found = sets_of(tmp_path / "judged"), read(tmp_path / "judged")["membership"]
    assert sets["unseen"]["n"] == found["never_seen"]["n"] and found["left_out"] == 38 - sets["unseen"]["n"] >= 8
    assert f"never-seen rows: {sets['unseen']['n']}, {found['left_out']} left out" in ended.out
    assert train and sets["retain"]["n"] == command_runs.read_result(gradient_run)["after"]["retain"]["n"]


def test_without_never_seen_rows_it_says_why(gradient_run, tiny_folder, tmp_path):
    rows = load_file(tiny_folder / "corpus.safetensors")
    path = save(rows["memorized"], tmp_path / "unseen.pt")
    folder = shutil.copytree(gradient_run, tmp_path / "run")

    def seen_only(tensors, metadata):
        metadata["origin"] = metadata["origin"].replace("demo unseen:", "demo seen:")

    rewritten(gradient_run / "rows.safetensors", folder / "rows.safetensors", seen_only)
    ended = judge(folder / "patch.safetensors", f"paragraphs.unseen={path}", directory=tmp_path / "judged")
    found = read(tmp_path / "judged")["membership"]
    assert ended.code == 0 and found["scores"] is None and "paragraphs.unseen=FILE" in found["reason"]
    assert "8 rows were named" in found["reason"] and "membership is not known: " in ended.out


def test_a_file_that_the_run_named_and_that_is_gone_is_gone_without(gradient_run, tmp_path):
    def name_a_file(tensors, metadata):
        config = json.loads(metadata["config"])
        config["paragraphs"]["unseen"] = str(tmp_path / "none.pt")
        metadata["config"] = json.dumps(config)

    folder = shutil.copytree(gradient_run, tmp_path / "run")
    rewritten(gradient_run / "patch.safetensors", folder / "patch.safetensors", name_a_file)
    ended = judge(folder / "patch.safetensors", directory=tmp_path / "judged")
    assert ended.code == 0 and "the run's never-seen rows are not to be had" in ended.out
    assert read(tmp_path / "judged")["membership"]["scores"] is not None  # the demo's own
    line = judge(folder / "patch.safetensors", "paragraphs.unseen=/none.pt", directory=tmp_path / "given").the_error()
    assert "/none.pt" in line


def changed(patch, target, **settings):
    """The patch as if its run had these settings."""

    def change(tensors, metadata):
        config = json.loads(metadata["config"])
        for name, value in settings.items():
            group, _, key = name.partition("__")
            config[group][key] = value
        metadata["config"] = json.dumps(config)

    rewritten(patch, target, change)
    return target


def test_what_no_oracle_can_be_had_for_is_one_line(gradient_run, tmp_path):
    patch, target = gradient_run / "patch.safetensors", tmp_path / "patch.safetensors"
    own = changed(patch, tmp_path / "own.safetensors", paragraphs__forget_text="own")
    target_ = "memunlearn.unlearning.per_paragraph.PerParagraph"
    trial = changed(patch, tmp_path / "trial.safetensors", protocol___target_=target_)

    def forget_roles(tensors, metadata):
        for name in ("roles", "clusters"):
            del metadata[name]

    rewritten(patch, target, forget_roles)
    for said, file in {"which rows were to be forgotten": target, "forget_text=own": own, "per_paragraph": trial}.items():
        line = judge(file, "demo.oracle=true", directory=tmp_path / "judged").the_error()
        assert said in line and "demo.oracle=false" in line
    assert not (tmp_path / "judged" / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["demo.oracle=true"], "add patch=FILE"),
        (["reference.oracle=/no/where"], "add patch=FILE"),
        (["reference.second_oracle=a"], "set reference.oracle=DIR as well"),
        (["reference.oracle=a", "demo.oracle=true"], "both name an oracle"),
        (["model=local", "model.name_or_path=/no/where", "demo.oracle=true"], "for model=demo"),
        (["+reference.orcale=a"], "reference.orcale is not known"),
        (["paragraphs.unseen=/none.pt"], "add patch=FILE"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together(overrides, said, tmp_path):
    ended = command_runs.run("evaluate", *tiny_demo.OVERRIDES, "accelerator=cpu", *overrides, directory=tmp_path / "judged")
    assert said in ended.the_error()


def test_training_checks_what_its_evaluation_will_need(tmp_path):
    for overrides, said in (
        (["paragraphs.unseen=/none.pt"], "/none.pt"),
        (["demo.oracle=true", "model=local", "model.name_or_path=/no/where"], "for model=demo"),
    ):
        assert said in command_runs.train(*overrides, directory=tmp_path / "run").the_error()


def test_a_model_that_is_no_oracle_of_this_one(gradient_run, oracle_folder, tiny_folder, tmp_path):
    import tiny_architectures

    tiny_architectures.tiny_model("gpt_neo").save_pretrained(tmp_path / "small")
    tokenizer = shutil.copytree(oracle_folder, tmp_path / "tokenizer")
    content = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (tokenizer / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    deeper = AutoModelForCausalLM.from_pretrained(oracle_folder)
    deeper.config.num_layers, deeper.config.attention_types = 4, [[["global", "local"], 2]]
    deeper.config.attention_layers = ["global", "local"] * 2
    type(deeper)(deeper.config).save_pretrained(tmp_path / "deeper")
    patch = str(gradient_run / "patch.safetensors")
    assert models(["apply", "--base", str(tiny_folder), "--patch", patch, "--out", str(tmp_path / "unlearned")]) == 0
    for folder, said in (
        (tmp_path / "unlearned", "has the very weights of the unlearned model"),
        (tmp_path / "deeper", "is built otherwise"),
        (tmp_path / "small", "has a vocabulary of"),
        (tokenizer, "has another tokenizer"),
        (tiny_folder, "has the very weights of"),
        (tmp_path, "no config.json"),
    ):
        line = judge(gradient_run / "patch.safetensors", f"reference.oracle={folder}", directory=tmp_path / "j").the_error()
        assert said in line, folder


def test_rows_that_are_not_all_there(gradient_run, tiny_folder, tmp_path):
    rows = load_file(gradient_run / "rows.safetensors")
    path = save(torch.cat([rows["forget"][:2], rows["retain"]]), tmp_path / "some.pt")
    patch = changed(gradient_run / "patch.safetensors", tmp_path / "patch.safetensors", paragraphs__max_forget=None)
    given = [f"paragraphs.path={path}", "demo.oracle=true"]

    def elsewhere(tensors, metadata):
        config = json.loads(metadata["config"])
        config["paragraphs"]["source"]["path"] = config["paragraphs"]["path"] = str(path)
        metadata["config"] = json.dumps(config)

    rewritten(patch, tmp_path / "moved.safetensors", elsewhere)
    line = judge(tmp_path / "moved.safetensors", *given, directory=tmp_path / "judged").the_error()
    assert "without the 4 rows" in line and "only 2 of them were found" in line


def test_the_setting_reference_in_all_its_forms():
    for given, expected in (
        (None, ReferenceModels()),
        ("a/b", ReferenceModels(base="a/b")),
        (1, ReferenceModels(base="1")),
        ({"base": None, "oracle": "o"}, ReferenceModels(oracle="o")),
        ({"base": "b", "oracle": None, "second_oracle": None}, ReferenceModels(base="b")),
    ):
        assert ReferenceModels.of(OmegaConf.create({"reference": given})) == expected
    assert ReferenceModels.of(OmegaConf.create({})) == ReferenceModels()
    for wrong in (["a"], {"other": "a"}, {"base": True}, {"oracle": ["a"]}):
        with pytest.raises(UserError, match="reference"):
            ReferenceModels.of(OmegaConf.create({"reference": wrong}))


def test_oracle_of_gives_a_model_that_never_saw_the_rows(judged, gradient_run, oracle_folder):
    """What an attack asks for, with the config of an evaluation."""
    cfg = OmegaConf.create(read(judged)["config"])
    loaded = load_configured_model(cfg)
    rows = load_file(gradient_run / "rows.safetensors")["forget"]
    forget = ParagraphSet(rows, tiny_demo.P, ("",) * len(rows))
    oracle = oracle_of(cfg, forget, loaded)
    assert float(score(oracle.model, forget).em.double().mean()) == read(judged)["oracle"]["models"]["oracle"]["forget"]["em"]
    assert fingerprint(oracle.model) != fingerprint(loaded.model)
    cfg.demo.oracle = False
    assert oracle_of(cfg, forget, loaded) is None
    cfg.reference.oracle = str(oracle_folder)
    own = oracle_of(cfg, forget, loaded)
    assert fingerprint(own.model) == fingerprint(AutoModelForCausalLM.from_pretrained(oracle_folder))
