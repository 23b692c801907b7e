"""What a run measures before it trains, from its config."""

from dataclasses import dataclass

from omegaconf import OmegaConf

from memunlearn.commands.base_measurements import BaseMeasurements
from memunlearn.commands.prepared import prepare_run
from memunlearn.models import eligible_weights
from memunlearn.objectives.material import Needs


@dataclass(frozen=True)
class Own:
    """An objective of one's own that wants alternatives, and has no setting for how they are looked for."""

    needs: Needs = Needs(alternatives=True)


def test_alternatives_are_looked_for_without_a_setting_of_the_objective(reciting, sets, tmp_path):
    objective = {"_target_": "own.Own"}
    cfg = OmegaConf.create(
        {"batch_size": 4, "objective": objective, "seeds": {"split": 3}, "paragraphs": {}, "p_z": {"top_k": None}}
    )
    OmegaConf.set_struct(cfg, True)
    measurements, weights = BaseMeasurements.of(reciting, None), eligible_weights(reciting)
    given = {"weights": weights, "stop": None, "directory": tmp_path, "tokenizer": None}
    found = prepare_run(cfg, measurements, sets, objective=Own(), **given)
    OmegaConf.set_struct(cfg, False)
    cfg.objective.replacements = 1
    same = prepare_run(cfg, measurements, sets, objective=Own(), **given)
    assert found.alternatives is not None and found.loss_positions == same.loss_positions
    assert found.alternatives.paragraphs.ids.equal(same.alternatives.paragraphs.ids)
