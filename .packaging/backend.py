"""The build backend: setuptools, and on request the hot path compiled with mypyc.

Without ``UDS_DIST_MYPYC=1`` in the environment the wheel is pure Python (py3-none-any), and its
build needs only setuptools. With it, the modules in ``compiled.txt`` next to this file are compiled
too: then the build requires mypy and a C compiler. The compiled wheel also contains the sources:
tracebacks quote them, and Python prefers an extension module to a source of the same name.

This wrapper tells setuptools where the setup script is: by default it has to be at the top level.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from setuptools.build_meta import _BuildMetaBackend

SETUP_SCRIPT = os.path.join(os.path.dirname(__file__), "setup.py")
COMPILER = ["mypy==2.4.*"]  # lib-rt next to this file fits mypyc of this version

Settings = Mapping[str, object] | None


def wants_compiled() -> bool:
    """Whether the environment asks for the compiled wheel."""
    answer = os.environ.get("UDS_DIST_MYPYC", "0")
    if answer not in ("", "0", "1"):
        raise SystemExit(f"UDS_DIST_MYPYC is {answer!r}: use 1 (compiled) or 0 (pure Python)")
    return answer == "1"


class Backend(_BuildMetaBackend):
    """setuptools' own backend, with our setup script and the compiler as a requirement."""

    def run_setup(self, setup_script: str = SETUP_SCRIPT) -> None:
        # setuptools passes nothing, or the name of a file that does not exist.
        super().run_setup(SETUP_SCRIPT)

    def get_requires_for_build_wheel(self, config_settings: Settings = None) -> list[str]:
        # setuptools would run the setup script for this, which imports the compiler.
        return list(COMPILER) if wants_compiled() else []

    def get_requires_for_build_sdist(self, config_settings: Settings = None) -> list[str]:
        return []

    def get_requires_for_build_editable(self, config_settings: Settings = None) -> list[str]:
        # An editable install runs the sources; extension modules are never built next to them.
        return []


_backend = Backend()
build_sdist = _backend.build_sdist
build_wheel = _backend.build_wheel
build_editable = _backend.build_editable
get_requires_for_build_sdist = _backend.get_requires_for_build_sdist
get_requires_for_build_wheel = _backend.get_requires_for_build_wheel
get_requires_for_build_editable = _backend.get_requires_for_build_editable
prepare_metadata_for_build_wheel = _backend.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = _backend.prepare_metadata_for_build_editable
