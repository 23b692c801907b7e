"""The commands are run as in the commands' own tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "commands"))
