"""Does the right place make forgetting hold? Planted paragraphs, forgotten through known weights and others, and relearned."""
