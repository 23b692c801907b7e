"""At which activations and tokens memorized text could be changed, compared with other text."""

from memunlearn.analyses.activation_gradients.settings import ActivationGradients as ActivationGradients
