"""attacks=...: evaluate.py attacks the base model and the unlearned one; train.py what it has just unlearned."""

import command_runs
import pyarrow.parquet
import pytest
from judged_patches import judge

QUICK = (
    "attacks=[relearning,quantization,pruning,partial]",
    "attacks.relearning.steps=[1,3]",
    "attacks.relearning.learning_rates=[0.001]",
    "attacks.quantization.kinds=[int8,int4]",
    "attacks.pruning.shares=[0.3]",
    "attacks.partial.points=3",
)
ATTEMPTS = {"relearning": 6, "quantization": 2, "pruning": 1, "partial": 3}


def attacks_in(directory):
    rows = pyarrow.parquet.read_table(directory / "attacks.parquet").to_pylist()
    return command_runs.read_result(directory, "attacks.json"), rows


def assert_whole(result, rows, subjects, forget):
    """Numbers are those of the rows, by a loop."""
    assert result["schema"] == 1 and result["subjects"] == subjects and result["seed"] == 0
    assert set(subjects) | {"patch", "forget", "clusters", "others"} == result["hashes"].keys()
    assert list(result["attacks"]) == list(ATTEMPTS) == list(result["config"]["attacks"])
    for name, attack in result["attacks"].items():
        tried = [subject for subject in subjects if name != "partial" or subject == "unlearned"]
        assert [attempt["subject"] for attempt in attack["attempts"]] == [s for s in tried for _ in range(ATTEMPTS[name])]
        assert attack["protocol"] and attack["sentence"].endswith(".") and attack["seconds"] >= 0
        for place, attempt in enumerate(attack["attempts"]):
            own = [row for row in rows if (row["attack"], row["attempt"]) == (name, place)]
            assert len(own) == attempt["n"] and {row["subject"] for row in own} == {attempt["subject"]}
            for key in ("em", "longest_run", "nll"):
                assert attempt[key] == pytest.approx(sum(row[key] for row in own) / len(own))
            assert {row["row"] for row in own} <= set(range(forget))
            assert attempt["memorized"] == sum(row["em"] == 10 for row in own) / len(own)
            assert attempt["em_ci"] is None and "clusters" in attempt["interval_note"]
        for subject, worst in attack["worst"].items():
            counting = [a["em"] for a in attack["attempts"] if a["subject"] == subject and a["counts"]]
            assert (worst is None) == (not counting)
            if counting:
                assert attack["attempts"][worst]["em"] == max(counting) and attack["attempts"][worst]["subject"] == subject


def test_a_patch_alone_is_attacked_beside_its_base_and_again_nothing_is_repeated(gradient_run, tmp_path):
    patch = gradient_run / "patch.safetensors"
    ended = judge(patch, *QUICK, directory=tmp_path)
    assert ended.code == 0, ended.err
    result, rows = attacks_in(tmp_path)
    assert_whole(result, rows, ["base", "unlearned"], forget=4)
    told = command_runs.read_result(gradient_run)
    shares = result["attacks"]["partial"]["attempts"]
    assert [attempt["settings"]["share"] for attempt in shares] == [0, 0.5, 1]
    assert shares[0]["em"] == told["before"]["forget"]["em"] and shares[2]["em"] == told["after"]["forget"]["em"]
    assert shares[2]["nll"] == pytest.approx(told["after"]["forget"]["nll"], abs=1e-5)
    for attempt in result["attacks"]["quantization"]["attempts"]:
        assert (0 < attempt["extra"]["below_half_a_step"] <= 1) if attempt["subject"] == "unlearned" else not attempt["extra"]
    for name, attack in result["attacks"].items():
        assert f"{name}: {attack['sentence']}" in ended.out
    evaluation = command_runs.read_result(tmp_path, "evaluation.json")["sets"]["forget"]
    assert evaluation["em"] == told["after"]["forget"]["em"]

    again = judge(patch, *QUICK, directory=tmp_path)
    assert again.code == 0 and again.out.count("done already") == 8, again.err
    repeated, same_rows = attacks_in(tmp_path)
    assert repeated["attacks"] == result["attacks"] and same_rows == rows

    # Fewer attacks: those of before are no part of this result.
    less = judge(patch, "attacks=pruning", "attacks.pruning.shares=[0.3]", directory=tmp_path)
    assert less.code == 0 and "on the base model: done already" in less.out
    assert list(attacks_in(tmp_path)[0]["attacks"]) == ["pruning"]
    assert judge(patch, directory=tmp_path).code == 0 and not (tmp_path / "attacks.json").exists()


def test_a_model_alone_is_attacked_as_the_base(tmp_path):
    ended = command_runs.evaluate("attacks=pruning", "attacks.pruning.shares=[0.05,0.9]", directory=tmp_path)
    assert ended.code == 0, ended.err
    result, _ = attacks_in(tmp_path)
    assert result["subjects"] == ["base"] and result["hashes"]["patch"] is None
    little, most = result["attacks"]["pruning"]["attempts"]
    assert little["em"] > 8 > most["em"]
    assert result["attacks"]["pruning"]["sentence"].startswith("On the base model the worst of 2 attempts (share 0.05)")


def test_a_run_attacks_what_it_has_unlearned(tmp_path):
    """The same numbers as those of evaluate.py with its patch; the worst in result.json, for sweeps."""
    ended = command_runs.train(*QUICK, directory=tmp_path / "run")
    assert ended.code == 0, ended.err
    result, rows = attacks_in(tmp_path / "run")
    assert_whole(result, rows, ["unlearned"], forget=4)
    short = command_runs.read_result(tmp_path / "run")["attacks"]
    half = [f"relearning/{on}" for on in ("half", "prefixes", "unrelated")]
    assert list(short) == ["relearning", *half, "quantization", "quantization/int8", "quantization/int4", "pruning", "partial"]
    for name in ATTEMPTS:
        place = result["attacks"][name]["worst"]["unlearned"]
        worst = result["attacks"][name]["attempts"][place]
        assert short[name] == {"em": worst["em"], "memorized": worst["memorized"]}
    judged = judge(tmp_path / "run" / "patch.safetensors", *QUICK, directory=tmp_path / "judged")
    assert judged.code == 0, judged.err
    beside, _ = attacks_in(tmp_path / "judged")
    for name in ATTEMPTS:
        own = [attempt for attempt in beside["attacks"][name]["attempts"] if attempt["subject"] == "unlearned"]
        for one, other in zip(result["attacks"][name]["attempts"], own, strict=True):
            assert one["settings"] == other["settings"] and one["em"] == other["em"]
            assert one["nll"] == pytest.approx(other["nll"], abs=1e-4)


@pytest.mark.parametrize(
    "overrides, said",
    [
        (("attacks=relearning", "attacks.relearning.steps=[0]"), "attacks.relearning.steps=[0]"),
        (("attacks=relearning", "attacks.relearning.batch_rows=many"), "attacks.relearning.batch_rows=many"),
        (("attacks=pruning", "attacks.pruning.shares=[2]"), "attacks.pruning.shares=[2]"),
        (("attacks=nothing",), "attacks=nothing: there is no such option"),
        (("attacks=pruning", "protocol=per_paragraph"), "protocol=per_paragraph"),
    ],
)
def test_mistakes_end_before_any_work(tmp_path, overrides, said):
    ended = command_runs.train(*overrides, directory=tmp_path)
    assert said in ended.the_error().replace("'", "")
    assert "model:" not in ended.out and not (tmp_path / "result.json").exists()


def test_rows_that_nobody_forgot_are_no_target(tmp_path, tiny_folder):
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(tiny_folder / "corpus.safetensors")["unseen"], tmp_path / "rows.pt")
    model = ("model=local", f"model.name_or_path={tiny_folder}", "paragraphs=files", f"paragraphs.path={tmp_path}/rows.pt")
    ended = command_runs.evaluate(*model, "attacks=pruning", directory=tmp_path / "out")
    assert "attacks=... needs rows that were to be forgotten" in ended.the_error()
    assert not (tmp_path / "out" / "evaluation.json").exists()


@pytest.mark.slow
def test_an_oracle_is_attacked_as_the_others_are(gradient_run, tmp_path):
    attack = ("demo.oracle=true", "attacks=[pruning,partial]", "attacks.pruning.shares=[0.05]", "attacks.partial.points=2")
    ended = judge(gradient_run / "patch.safetensors", *attack, directory=tmp_path)
    assert ended.code == 0, ended.err
    result, _ = attacks_in(tmp_path)
    assert result["subjects"] == ["base", "unlearned", "oracle"]
    base, _, oracle = result["attacks"]["pruning"]["attempts"]
    assert base["em"] > 8 > 3 > oracle["em"]
    evaluation = command_runs.read_result(tmp_path, "evaluation.json")
    assert oracle["nll"] == pytest.approx(evaluation["oracle"]["models"]["oracle"]["forget"]["nll"], abs=0.5)
    assert "the oracle, which never saw the text, says after its worst" in result["attacks"]["pruning"]["sentence"]
    assert "oracle" not in result["attacks"]["partial"]["sentence"]
    assert len({result["hashes"][name] for name in result["subjects"]}) == 3
