"""The material that tests use is what it says: some rows recited, the others not."""

import pytest
import tiny_architectures as tiny
from tiny_material import tiny_material


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_tiny_material_has_both_groups(family):
    material = tiny_material(family)
    assert material.memorized.tolist() == [True] * 4 + [False] * 5
    assert int(material.non_memorized.sum()) >= 4


def test_rows_of_a_group_are_drawn_with_the_seed():
    material = tiny_material()
    assert material.rows(material.non_memorized).tolist() == material.non_memorized.nonzero().flatten().tolist()
    drawn = material.rows(material.non_memorized, 2)
    assert len(drawn) == 2 and drawn.tolist() == material.rows(material.non_memorized, 2).tolist()
    assert set(drawn.tolist()) <= set(material.rows(material.non_memorized).tolist())
