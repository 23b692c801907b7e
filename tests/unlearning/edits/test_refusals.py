"""What is advised is not refused again."""

import re

import pytest

from memunlearn.errors import UserError
from memunlearn.masks import AllWeights, TopAttribution
from memunlearn.models import eligible_weights
from memunlearn.unlearning.edits.balanced_subnet import BalancedSubnet
from memunlearn.unlearning.edits.lora import LoRA
from memunlearn.unlearning.edits.refusals import rounded_up


@pytest.mark.parametrize(
    ("value", "said"), [(1 / 960, "0.0011"), (0.03125, "0.032"), (0.5, "0.5"), (0.996, "1"), (1 / 3e7, "3.4e-08")]
)
def test_rounded_up(value, said):
    assert rounded_up(value) == said and float(said) >= value


def test_the_share_and_the_fraction_that_are_advised_are_enough(reciting):
    weights = eligible_weights(reciting)
    with pytest.raises(UserError, match="give at least") as refused:
        BalancedSubnet(share=1e-6).check_weights(AllWeights(), weights)
    BalancedSubnet(share=float(re.search(r"at least (\S+)$", str(refused.value))[1])).check_weights(AllWeights(), weights)
    with pytest.raises(UserError, match="set mask.fraction to") as refused:
        LoRA().check_weights(TopAttribution(1e-4), weights)
    advised = float(re.search(r"set mask.fraction to (\S+) or", str(refused.value))[1])
    LoRA().check_weights(TopAttribution(advised), weights)
