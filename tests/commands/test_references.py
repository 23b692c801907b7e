"""A kept config's references are followed where they can do no harm."""

import pytest
from omegaconf import OmegaConf

from memunlearn.commands.references import followed

CONFIG = {
    "seed": 3,
    "seeds": {"split": "${seed}", "mask": 4},
    "demo": {"_target_": "memunlearn.demo.model.Demo", "layers": 2, "prefix_length": "${paragraphs.prefix_length}"},
    "model": {"demo": "${demo}"},
    "paragraphs": {
        "prefix_length": 10,
        "path": None,
        "forget": {"prefix": "a.npy", "continuation": "b.npy"},
        "names": ["a", "b"],
        "source": {
            "path": "${..path}",
            "forget": "${..forget}",
            "names": "${..names}",
            "length": "${..prefix_length}",
            "demo": "${demo}",
        },
    },
}


def test_what_omegaconf_makes_of_a_run_s_config_is_what_comes_out():
    cfg = OmegaConf.create(CONFIG)
    assert followed(cfg) == OmegaConf.to_container(cfg, resolve=True)
    assert followed(cfg)["model"]["demo"]["prefix_length"] == 10


@pytest.mark.parametrize(
    "more",
    [
        {"a": "${oc.env:HOME}"},
        {"a": "${oc.create:{_target_: os.system}}"},
        {"a": "x${seed}"},
        {"a": "${seed}${seed}"},
        {"a": "${demo}"},
        {"a": {"b": "${paragraphs}"}},
        {"a": ["${seed}"]},
        {"a": "${b}", "b": list(range(101))},
        {"a": "${b}", "b": [["x"]]},
        {"demo": {"x": "${paragraphs.source}"}},
        {"a": "${nowhere}"},
        {"a": "${b}", "b": "${a}"},
        {"demo": {"x": "${model.demo}"}},
    ],
    ids=str,
)
def test_any_other_reference_is_refused(more):
    with pytest.raises(Exception, match=r"is \$|is x\$|is \[|refers to a group|not found|[Rr]ecursi|parent node"):
        followed(OmegaConf.create({**CONFIG, **more}))
