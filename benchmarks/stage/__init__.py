"""A stage: a model of a known size that was made to recite real text, and its rows, for memunlearn's commands to work on."""
