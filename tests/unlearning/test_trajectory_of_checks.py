"""The trajectory has every check that gave numbers, and none that did not."""

from types import SimpleNamespace

import torch

from memunlearn.unlearning.stopping import StopAndKeep, StopRule


def test_a_check_is_in_the_trajectory_if_it_gave_numbers(reciting, preparation):
    keep, module = StopAndKeep(StopRule(), preparation, 8), SimpleNamespace(model=reciting)
    keep.check(module, 3)
    assert [one.step for one in keep.trajectory] == [0, 3]
    with torch.no_grad():
        reciting.transformer.h[0].mlp.c_fc.weight[0, 0] = torch.nan
    keep.check(module, 4)
    assert [one.step for one in keep.trajectory] == [0, 3]
    assert not any(
        values.isnan().any() for one in keep.trajectory for scores in one.sets.values() for values in scores.values()
    )
