"""What holds for all eight: the same files, findings that are whole, plain and repeatable, and a model left as it was."""

import importlib
import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from pydantic import TypeAdapter
from tiny_material import tiny_material

import memunlearn.analyses
from memunlearn.analyses.material import OVER_CLUSTERS
from memunlearn.charts.description import Bars, Distributions, Heat, Lines, Scatter
from memunlearn.results.finding import Finding

FILES = {"__init__.py", "settings.py", "measure.py", "compare.py", "tell.py", "charts.py"}
ROOT = Path(memunlearn.analyses.__file__).parent
CONF = ROOT.parents[1] / "conf" / "analysis"
QUICK = {
    "activation_gradients": {"permutations": 20},
    "activation_patching": {"min_difference": 1e-6},
    "attention_heads": {"permutations": 20},
    "em_nll": {},
    "known_answer": {
        "plants": ["mlp"],
        "seeds": 1,
        "levels": [1.8, 1.4],
        "learning_rate": 3e-2,
        "max_steps": 80,
        "keep_weight": 0.1,
    },
    "parameter_gradients": {"permutations": 20},
    "token_perturbation": {"permutations": 20},
    "weight_noise": {"fraction": 0.05, "scales": [0.5, 3], "seeds": 2},
}
NAMES = sorted(QUICK)


def made(name):
    config = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml"), QUICK[name])
    return instantiate(config, _convert_="all")


@pytest.fixture(scope="module")
def material():
    return tiny_material(memorized=4, others=6)


@pytest.fixture(scope="module")
def findings(material):
    return {name: made(name)(material) for name in NAMES}


def test_every_folder_is_an_analysis_and_every_analysis_a_folder_with_the_same_files():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(NAMES) == {path.stem for path in CONF.glob("*.yaml")} - {"all"}
    for name in NAMES:
        assert {path.name for path in (ROOT / name).glob("*.py")} == FILES, name


@pytest.mark.parametrize("name", NAMES)
def test_a_config_names_the_class_of_the_settings_with_all_of_its_options(name):
    config = OmegaConf.load(CONF / f"{name}.yaml")
    settings = importlib.import_module(f"memunlearn.analyses.{name}.settings")
    target = get_class(config["_target_"])
    assert target is getattr(settings, target.__name__) and is_dataclass(target)
    assert set(config) - {"_target_"} == {field.name for field in fields(target)}
    assert target.version >= 1 and (CONF / f"{name}.yaml").read_text().startswith(f"# @package analysis.{name}\n")


@pytest.mark.parametrize("name", NAMES)
def test_imports_of_a_folder_point_down(name):
    """What is measured knows nothing of what is compared, and neither of how it is told."""
    order = ["measure", "compare", "charts", "tell", "settings"]
    for place, module in enumerate(order):
        source = (ROOT / name / f"{module}.py").read_text()
        for above in order[place + 1 :]:
            assert f"memunlearn.analyses.{name}.{above} " not in source, (module, above)
    for other in set(NAMES) - {name}:
        assert not any(f"memunlearn.analyses.{other}." in (ROOT / name / file).read_text() for file in FILES), other


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_is_whole_and_plain(findings, name):
    finding = findings[name]
    assert finding.name == name and finding.title and finding.unit
    assert finding.sentences and all(sentence.endswith(".") for sentence in finding.sentences)
    assert all(note.endswith(".") for note in finding.notes)
    adapter = TypeAdapter(Finding)
    assert (
        adapter.validate_python(json.loads(json.dumps(adapter.dump_python(finding, mode="json"), allow_nan=False))) == finding
    )
    assert "tensor(" not in repr(finding) and "np." not in repr(finding)
    for table, columns in finding.tables.items():
        assert table.startswith(name) and len(set(map(len, columns.values()))) == 1, table
        for column, values in columns.items():
            assert {type(value) for value in values} <= {str, int, float, bool, type(None)}, (table, column)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_complete(findings, name):
    charts = findings[name].charts
    assert charts and len({chart.name for chart in charts}) == len(charts)
    for chart in charts:
        assert chart.name.startswith(name) and chart.caption.strip() and chart.alt.endswith("."), chart.name
        assert chart.panels and chart.columns >= 1
        for panel in chart.panels:
            check_panel(panel)


def check_panel(panel):
    if isinstance(panel, Heat):
        assert len(panel.values) == len(panel.rows) > 0
        assert all(len(row) == len(panel.columns) > 0 for row in panel.values)
        assert all(row < len(panel.rows) and column < len(panel.columns) for row, column in panel.marked)
        return
    if isinstance(panel, Distributions):
        assert panel.groups and all(group.values for group in panel.groups)
        return
    assert isinstance(panel, Lines | Scatter | Bars) and panel.series
    for series in panel.series:
        assert len(series.x) == len(series.y)
        for end in (series.low, series.high, series.text):
            assert end is None or len(end) == len(series.x)
        assert (series.low is None) == (series.high is None)


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_is_the_same_again_whatever_was_drawn_before_and_the_model_is_as_it_was(material, findings, name):
    state = {key: value.clone() for key, value in material.model.state_dict().items()}
    flags = [parameter.requires_grad for parameter in material.model.parameters()]
    torch.manual_seed(1234)
    assert made(name)(material) == findings[name]
    assert all(torch.equal(state[key], value) for key, value in material.model.state_dict().items())
    assert [parameter.requires_grad for parameter in material.model.parameters()] == flags
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in material.model.modules())
    assert all(parameter.grad is None for parameter in material.model.parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "known_answer"])  # which trains, and so takes other steps
def test_batches_change_the_last_digits_only(material, findings, name):
    one = made(name)(replace(material, batch_size=8))
    for table, columns in findings[name].tables.items():
        for column, values in columns.items():
            near = [pytest.approx(value, rel=5e-3, abs=1e-3) if isinstance(value, float) else value for value in values]
            assert one.tables[table][column] == near, (table, column)


def test_most_intervals_are_over_clusters(findings):
    units = {name: finding.unit for name, finding in findings.items()}
    assert {name for name, unit in units.items() if OVER_CLUSTERS not in unit} == {"known_answer", "weight_noise"}
    assert all("seeds" in units[name] for name in ("known_answer", "weight_noise"))
