"""The one step of the build that pyproject.toml cannot say: conf/ also goes into the wheel, as memunlearn/conf."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConf(build_py):
    """An editable install uses conf/ where it is."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(Path(__file__).parent / "conf", Path(self.build_lib) / "memunlearn" / "conf", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConf})
