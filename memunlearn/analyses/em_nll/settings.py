"""`em_nll` has no options; its steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memunlearn.analyses.em_nll.compare import compare
from memunlearn.analyses.em_nll.measure import measure
from memunlearn.analyses.em_nll.tell import tell
from memunlearn.analyses.material import Material
from memunlearn.results.finding import Finding


@dataclass(frozen=True)
class EMNLL:
    """A scatter of all paragraphs by EM bin; how well NLL alone tells memorized from non-memorized ones (AUROC).

    Where EM has made the groups, the NLL of continuations all but follows from it: each token of a recited one is the most
    likely there. What does not follow is the NLL of the prefixes, of which EM knows nothing: it is compared, too.
    """

    version: ClassVar[int] = 2

    def __call__(self, material: Material) -> Finding:
        """Raises UserError if there is no paragraph."""
        measured = measure(material)
        return tell(measured, compare(measured, material), material)
