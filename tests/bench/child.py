"""New interpreters with the same package as this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import uds_dist

PACKAGE = Path(uds_dist.__file__).parent.parent  # a build folder, where it is compiled
PROJECT = Path(__file__).parent.parent.parent
TIMEOUT = 300.0


def run_python(*arguments: str, byte_code: str = "") -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end.

    Args:
        arguments: its arguments, as on a command line.
        byte_code: the folder for its byte code.
    Raises:
        RuntimeError: it failed; the message has its standard error.
    """
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    if byte_code:
        environment["PYTHONPYCACHEPREFIX"] = byte_code
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
    # An interpreter with -c or -m looks in its working folder first, and then for the tests.
    done = subprocess.run(
        [sys.executable, *arguments], cwd=PACKAGE, env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} returned {done.returncode}:\n{done.stderr}")
    return done
