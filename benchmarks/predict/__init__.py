"""What large work would cost, computed from what was measured: `python -m benchmarks.predict`."""
