"""What is typed is what arrives: paths with any sign, names that are numbers, the home folder."""

from __future__ import annotations

import shlex
import subprocess

import command_runs
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from memunlearn.commands.arguments import FILES, FOLDERS, NAMES, as_typed, override
from memunlearn.commands.mistakes import mistake

ODD = (
    *("/x/step=102", "/x/zürich", "/x/run (1)/a.npy", "a#b", "x[1]", "[a]", "{a}", "a,b.pt", "漢字/=", "it's", 'say "so"'),
    *("back\\slash=1\\", "50%=x", "a: b=c", "a;b&c|d", "~/x", "~nobodyhere/x", "a*b?=", "=", "a=b=c", "!x=1", "x y (z)"),
)
NUMBERS = ("1000", "0", "007", "1e3", "1_000", "-1", "1.50", "nan", "inf", "true", "False", "0x1F", "2024")


def values(*arguments):
    return [override.value() for override in OverridesParser.create().parse_overrides(as_typed(arguments))]


@pytest.mark.parametrize("text", [*ODD, *NUMBERS])
@pytest.mark.parametrize("name", ["model.name_or_path", "paragraphs.path", "patch", "++logger.name"])
def test_a_name_arrives_as_it_was_typed(name, text):
    is_list = name == "paragraphs.path" and text == "[a]"
    assert values(f"{name}={text}") == [["a"] if is_list else text]


def test_files_and_folders_may_be_a_list(tmp_path, monkeypatch):
    for typed, paths in {
        "[A.txt,B.jsonl,folder/]": ["A.txt", "B.jsonl", "folder/"],
        "[zürich (1).csv, a=1.txt,~/b c.md]": ["zürich (1).csv", "a=1.txt", "~/b c.md"],
        "[007,1e3,null,2024]": ["007", "1e3", "null", "2024"],
        "['a,b.txt','c[1].txt']": ["a,b.txt", "c[1].txt"],
        "[]": [],
    }.items():
        for name in sorted(FILES):
            assert values(f"{name}={typed}") == [paths]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "[a,b]").touch()
    assert values("paragraphs.path=[a,b]") == ["[a,b]"]
    assert values("patch=[a,b]") == ["[a,b]"]


@pytest.mark.parametrize("text", ["/x/step=102", "/x/zürich", "a (1)/b", "a#b"])
def test_paths_in_settings_that_are_not_known_to_be_names_arrive_too(text):
    assert values(f"callbacks.checkpoint.dirpath={text}") == [text]


def test_what_hydra_understands_is_left_to_it():
    for argument in (
        *("seed=3", "optimizer.lr=1e-3", "mask.layers=[0,1]", "~callbacks.checkpoint", "+experiment=paper", "--help", "-cn=x"),
        *("model.tokenizer=null", "paragraphs.forget={prefix: A.npy, continuation: B.npy}", "model.name_or_path='1=2'", "a"),
        *("hydra.run.dir=out/${now:%Y}", "mask.layers=[1", "paragraphs.path=${demo.seed}"),
    ):
        assert as_typed([argument]) == [argument]


def test_in_a_sweep_commas_stand_between_values():
    def swept(argument):
        (override,) = OverridesParser.create().parse_overrides(as_typed(["-m", argument])[1:])
        return [value.strip("'") for value in override.sweep_string_iterator()]

    assert swept("model.name_or_path=1,2") == ["1", "2"]
    assert swept("model.name_or_path=/x/step=1,/x/step=2") == ["/x/step=1", "/x/step=2"]
    assert swept("seed=0,1") == ["0", "1"]
    assert as_typed(["-m", "logger.name=1,2"]) == ["-m", "logger.name='1','2'"]


def test_folders_of_runs_know_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for name in FOLDERS:
        assert values(f"{name}=~/runs/a=1") == ["/home/me/runs/a=1"]
        assert values(f"{name}='~/runs'") == ["/home/me/runs"]
        assert values(f"{name}=runs/~x") == ["runs/~x"]


def test_a_table_of_weights_can_be_pasted_from_the_message():
    table = {"model.layers.{layer}.self_attn.q_proj.weight": "q", "a.{layer}.b": "mlp_in"}
    assert values(f"model.patterns={table}") == [table]
    typed = shlex.split("model.patterns=\"{'model.layers.{layer}.self_attn.q_proj.weight': q}\"")
    assert values(*typed) == [{"model.layers.{layer}.self_attn.q_proj.weight": "q"}]


def test_what_is_refused_says_how_to_quote_it_and_that_works_in_a_shell():
    for argument in ("mask.layers=[1", "mask={a: {b}", "paragraphs.note=[it's"):
        with pytest.raises(Exception) as error:
            OverridesParser.create().parse_overrides([argument])
        remedy = mistake(error.value).partition("is quoted twice: ")[2]
        typed = subprocess.run(["bash", "-c", f"printf %s {remedy}"], capture_output=True, text=True, check=True).stdout
        key, _, value = argument.partition("=")
        (override,) = OverridesParser.create().parse_overrides([typed])
        assert (override.key_or_group, override.value()) == (key, value)


@pytest.mark.parametrize("name", ["model.name_or_path", "paragraphs.column", "patch"])
def test_lists_and_tables_are_no_names(name, tmp_path, tiny_cache):
    config = tmp_path / "conf" / "experiment"
    config.mkdir(parents=True)
    keys = "".join(f"{'  ' * depth}{key}:" + "\n" for depth, key in enumerate(name.split("."))).rstrip("\n")
    (config / "odd.yaml").write_text(f"# @package _global_\n{keys} [a]\n")
    groups = ["model=local", "paragraphs=files", "+experiment=odd"]
    done = command_runs.evaluate(*groups, f"hydra.searchpath=[file://{tmp_path}/conf]", directory=tmp_path / "out")
    assert name in NAMES | FILES and f"{name}=['a'] must be text" in done.the_error()


@pytest.mark.parametrize("path", [*ODD, *NUMBERS, "/runs/a-1_b.2/p", "null", "end\\", "\\'both", "${oc.env:HOME}"])
def test_a_path_that_is_told_is_read_as_just_this_path(path):
    """By Hydra's parser and OmegaConf, after a shell has taken the line apart."""
    (typed,) = shlex.split(shlex.join([override("patch", path)]))
    (parsed,) = OverridesParser.create().parse_overrides([typed])
    assert not parsed.is_sweep_override()
    assert OmegaConf.create({parsed.key_or_group: parsed.value()}).patch == path


@pytest.mark.parametrize(
    ("typed", "settings"),
    [
        ("unlearn=[stop=deep,batch_size=8]", ["stop=deep", "batch_size=8"]),
        ("evaluate=[attacks.sampling.samples=[1,10], p_z.top_k=null]", ["attacks.sampling.samples=[1,10]", "p_z.top_k=null"]),
        ("unlearn=['stop=deep','batch_size=8']", ["stop=deep", "batch_size=8"]),
        ("unlearn=[]", []),
    ],
)
def test_lists_of_settings_of_a_takedown(typed, settings):
    (argument,) = as_typed([typed])
    assert OverridesParser.create().parse_override(argument).value() == settings
