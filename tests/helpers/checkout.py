"""The checkout, and its scripts as a user runs them."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def run_script(name, *options, cwd=None):
    command = [sys.executable, str(ROOT / "scripts" / name), *map(str, options)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)
