"""What `localize.py` runs: each analysis computes (localization), compares groups (statistics) and describes its figures."""
