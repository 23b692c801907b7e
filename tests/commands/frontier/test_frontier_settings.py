"""Settings of the sweeper, refused in one line each, before any work."""

import pytest
import yaml
from test_command_configs import CONF

from memunlearn.commands.frontier.settings import checked
from memunlearn.errors import UserError

GIVEN = yaml.safe_load((CONF / "hydra" / "sweeper" / "frontier.yaml").read_text())
GIVEN.pop("_target_")
METHODS = {"a": ["objective=npo"], "b": ["objective=undial", "optimizer=sgd"]}


def settings(**more):
    return checked(GIVEN | {"methods": METHODS} | more)


def test_the_defaults_are_those_of_the_design():
    found = settings()
    assert found.methods == {"a": ("objective=npo",), "b": ("objective=undial", "optimizer=sgd")}
    assert found.tuning_seeds == (0, 1) and found.confirmation_seeds == tuple(range(10, 20)) and len(found.factors) == 3
    assert [(target.forget_em, target.longest_run) for target in found.targets] == [(5, 10), (3, 5)]
    assert found.disruptions == (0.02, 0.05, 0.1) and found.weights == ("mask=all",)
    assert (found.best_with_masks, found.best_confirmed) == (4, 3)


def test_strengths_are_one_override_or_several():
    found = settings(strengths={"a": ["x=1", ["x=2", "y=3"], "x=3"]})
    assert found.strengths_of("a") == (("x=1",), ("x=2", "y=3"), ("x=3",)) and found.strengths_of("b") is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"methods": {}}, "hydra.sweeper.methods is empty"),
        ({"methods": {"a": "objective=npo"}}, "hydra.sweeper.methods.a=objective=npo"),
        ({"factors": []}, "hydra.sweeper.factors=[]"),
        ({"factors": [0, 1, 2]}, "hydra.sweeper.factors.0=0"),
        ({"strengths": {"a": ["x=1"]}}, "1 strength and hydra.sweeper.factors 3"),
        ({"strengths": {"c": ["x=1", "x=2", "x=3"]}}, "hydra.sweeper.strengths names c: the methods are a, b"),
        ({"only": ["a", "z"]}, "hydra.sweeper.only names z"),
        ({"own_weights": ["z"]}, "hydra.sweeper.own_weights names z"),
        ({"tuning_seeds": []}, "hydra.sweeper.tuning_seeds=[]"),
        ({"tuning_seeds": [0.5]}, "hydra.sweeper.tuning_seeds.0=0.5"),
        ({"tuning_seeds": [3, 3]}, "has one seed twice"),
        ({"tuning_seeds": [0, 10]}, "hydra.sweeper.confirmation_seeds has 10"),
        ({"references": {"a": []}}, "hydra.sweeper.references has a"),
        ({"best_confirmed": 0}, "hydra.sweeper.best_confirmed=0"),
        ({"targets": [{"forget_em": 5}]}, "hydra.sweeper.targets.0.longest_run"),
        ({"disruptions": [-1]}, "hydra.sweeper.disruptions.0=-1"),
        ({"best_of": ""}, "hydra.sweeper.best_of is empty"),
        ({"dry_run": "maybe"}, "hydra.sweeper.dry_run=maybe"),
        ({"best_with_mask": 2}, "hydra.sweeper.best_with_mask=2: unexpected"),
    ],
    ids=str,
)
def test_mistakes_are_one_line_with_the_setting_s_name(given, said):
    with pytest.raises(UserError) as error:
        settings(**given)
    assert said in str(error.value) and "\n" not in str(error.value)
