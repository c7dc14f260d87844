"""Interpreters of their own, with the very package that this process has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import uds_dist

PACKAGE = Path(uds_dist.__file__).parent.parent  # a build folder, where it is compiled
PROJECT = Path(__file__).parent.parent.parent
TIMEOUT = 300.0


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end; raises RuntimeError with its errors when it fails."""
    # An interpreter with -c or -m looks in its working folder first; the tests come after that.
    done = subprocess.run(
        [sys.executable, *arguments], cwd=PACKAGE, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} returned {done.returncode}:\n{done.stderr}")
    return done
