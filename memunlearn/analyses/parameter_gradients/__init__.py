"""Where the gradient of a paragraph's NLL lies, by EM bin, and where memorized text differs (paper, section 4)."""

from memunlearn.analyses.parameter_gradients.settings import ParameterGradients as ParameterGradients
