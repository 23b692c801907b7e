"""The recipes and the command line."""

import dataclasses

import pytest

from benchmarks.stage.__main__ import main, parser
from benchmarks.stage.recipe import LENGTH, RECIPES
from memunlearn.demo.training import new_gpt_neo


@pytest.mark.parametrize("size", RECIPES)
def test_a_recipe_fits_together(size):
    recipe = RECIPES[size]
    assert recipe.width % recipe.heads == 0 and recipe.layers % 2 == 0 and LENGTH == 100
    assert recipe.seen < recipe.background and recipe.check_every < recipe.steps
    # A memorized row comes far more often than a background row.
    turns = recipe.steps * recipe.memorized_batch / recipe.memorized
    assert turns > 20 and turns > 8 * recipe.steps * recipe.background_batch / recipe.background


@pytest.mark.parametrize(("size", "millions"), [("30m", 30), ("125m", 124)])
def test_a_size_is_what_its_name_says(size, millions):
    import torch

    recipe = RECIPES[size]
    with torch.device("meta"):
        model = new_gpt_neo(recipe.vocabulary, recipe.layers, recipe.width, recipe.heads, end=recipe.vocabulary - 1)
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(millions * 1e6, rel=0.01)
    assert model.config.attention_layers == ["global", "local"] * (recipe.layers // 2)
    assert model.config.eos_token_id == model.config.bos_token_id == recipe.vocabulary - 1
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_help_says_what_there_is(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and all(f"--{name}" in said for name in ("size", "out", "rows", "text", "tokenizer", "seed"))


def test_defaults():
    options = parser().parse_args(["--out", "folder"])
    assert (options.size, options.seed, options.rows, options.text, options.precision) == ("30m", 0, None, None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "-1"], "--seed -1 is negative"),
        (["--rows", "a.npy"], "--rows needs --tokenizer"),
        (["--rows", "a.npy", "b.npy", "c.npy"], "--rows has 3 files"),
        (["--text", "not/there"], "no such file or folder"),
        (["--tokenizer", "."], "there is no tokenizer"),
        (["--accelerator", "gpu"], "--accelerator gpu"),
        (["--size", "125m"], "--size 125m is for a GPU"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_and_nothing_is_written(arguments, said, tmp_path, monkeypatch, capsys):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "stage"
    assert main(["--size", "tiny", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and len(error.splitlines()) == 1
    assert not out.exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("kept")
    assert main(["--size", "tiny", "--out", str(tmp_path)]) == 2
    assert "is not empty and holds no stage" in capsys.readouterr().err
    assert main(["--size", "tiny", "--out", str(tmp_path / "mine.txt")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_precision_can_be_chosen_and_nothing_else_changes(monkeypatch, tmp_path):
    import benchmarks.stage.build as stage_build

    requests = []
    monkeypatch.setattr(stage_build, "build", lambda request, out: requests.append(request) or "built")
    for extra in ([], ["--precision", "32-true"]):
        assert main(["--size", "30m", "--out", str(tmp_path / "stage"), *extra]) == 0
    assert [request.recipe.precision for request in requests] == ["bf16-mixed", "32-true"]
    assert dataclasses.replace(requests[1].recipe, precision="bf16-mixed") == requests[0].recipe == RECIPES["30m"]
