"""The trajectory has every check that gave numbers, and none that did not."""

import torch

from memunlearn.unlearning.stopping import StopAndKeep, StopRule


def test_a_check_is_in_the_trajectory_if_it_gave_numbers(reciting, preparation):
    keep = StopAndKeep(StopRule(), preparation, 8)
    keep.check(reciting, 3)
    assert [one.step for one in keep.trajectory] == [0, 3]
    with torch.no_grad():
        reciting.transformer.h[0].mlp.c_fc.weight[0, 0] = torch.nan
    keep.check(reciting, 4)
    assert [one.step for one in keep.trajectory] == [0, 3]
    assert not any(
        values.isnan().any() for one in keep.trajectory for scores in one.sets.values() for values in scores.values()
    )
