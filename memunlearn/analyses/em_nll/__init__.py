"""EM against NLL of every paragraph (paper, section 2 and figure 1): do memorized paragraphs stand apart?"""

from memunlearn.analyses.em_nll.settings import EMNLL as EMNLL
