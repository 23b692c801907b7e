"""The notebook examples of README and docs, run as they stand there on the tiny demo."""

import contextlib
import io
import re

import command_runs
import tiny_demo
import torch

import memunlearn


def example(page="README.md"):
    blocks = re.findall(r"```python\n(.*?)```", (command_runs.ROOT / page).read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "import memunlearn as mu" in block]
    assert block.count("mu.Demo()") == 1
    return block


def test_the_readmes_notebook_example_runs_and_unlearns():
    names = {"tiny_demo": tiny_demo.tiny_demo}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example().replace("mu.Demo()", "tiny_demo()"), "README.md", "exec"), names)
    model, sets, training = names["base"].model, names["sets"], names["training"]
    # The example ends with the patch applied.
    after = memunlearn.score(model, sets.forget)
    memunlearn.remove_patch(model)
    before = memunlearn.score(model, sets.forget)
    assert before.em.tolist() == [tiny_demo.C] * len(sets.forget) and len(sets.forget) > 0
    assert float(after.nll.mean()) > float(before.nll.mean()) and after.em.sum() < before.em.sum()
    assert re.search(r"tensor\(\[", printed.getvalue())
    assert training.patch.k == names["mask"].k == names["mask"].eligible
    fresh = dict(memunlearn.DemoModelSource(names["demo"]).load().model.named_parameters())
    assert fresh.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(fresh[name], parameter) for name, parameter in model.named_parameters())


def test_the_readmes_example_of_a_command_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (command_runs.ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "mu.compose" in block]
    monkeypatch.chdir(tmp_path)
    compose = memunlearn.compose
    tiny = lambda name, *given: compose(name, *command_runs.training(*given))  # noqa: E731
    monkeypatch.setattr(memunlearn, "compose", tiny, raising=False)
    names = {"mu": memunlearn}
    exec(compile(block, "README.md", "exec"), names)
    result = command_runs.read_result(tmp_path / "outputs" / "notebook")
    assert result["mask"]["k"] == round(0.01 * result["mask"]["eligible"]) and names["run"].result == result
    assert capsys.readouterr().out.rstrip().endswith(str(result["after"]["forget"]["em"]))


def test_the_example_of_localization_runs_and_prints_what_it_says():
    names = {"tiny_demo": tiny_demo.tiny_demo}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(example("docs/localization.md").replace("mu.Demo()", "tiny_demo()"), "localization.md", "exec"), names)
    gradients, effects, memorized = (names[name] for name in ("gradients", "effects", "memorized"))
    assert len(memorized) == tiny_demo.SIZES["memorized"]
    assert names["mu"].layer_total(gradients).shape == (len(memorized), tiny_demo.SIZES["layers"])
    assert effects["effect"].shape[1:] == (2, 2, len(effects.cells)) and bool(effects["kept"].any())
    assert printed.getvalue().count("tensor([") >= 2


def test_every_name_of_the_package_can_be_had():
    assert all(getattr(memunlearn, name) is not None for name in memunlearn.__all__)
    for page in ("README.md", "docs/localization.md"):
        assert set(re.findall(r"mu\.(\w+)", example(page))) <= set(memunlearn.__all__)
