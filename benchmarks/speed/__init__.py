"""What memunlearn's work costs beside what a user would do instead: `python -m benchmarks.speed`."""
