"""The whole story at real size, as one script: `python -m benchmarks.story`."""
