"""The part of the build that pyproject.toml cannot describe; ``backend.py`` runs this script."""

import os
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

# The modules that mypyc compiles on request.
COMPILED_MODULES = [
    line.replace(".", "/") + ".py"
    for line in (Path(__file__).parent / "compiled.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
# C code that replaces mypyc's own, so that the compiled wheel needs no other package at run time.
RUNTIME = Path(__file__).parent / "lib-rt"
# Files in the source archive besides the package, to build and test it.
ARCHIVED = [
    "CHANGELOG.md",
    "Makefile",
    ".ci/*",
    ".packaging/**/*",
    "tests/**/*",
    "typings/**/*",
]

# setuptools writes all its files here, so that it makes no folders at the top level.
BUILD = os.environ.get("UDS_DIST_BUILD", "build")
WORK = Path(BUILD, "setuptools-{}.{}".format(*sys.version_info))


class SourceArchive(sdist):
    """setuptools' source archive with more files; a MANIFEST.in would be at the top level."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        found = [
            str(path)
            for pattern in ARCHIVED
            for path in sorted(Path().glob(pattern))
            if path.is_file() and path.suffix != ".pyc"
        ]
        kept = [name for name in files if not name.startswith("build/")]
        super().make_release_tree(base_dir, [*dict.fromkeys([*kept, *found])])


def extension_modules() -> list[object]:
    """The compiled modules, if this builds a wheel and the environment asks for them."""
    if os.environ.get("UDS_DIST_MYPYC") != "1" or "bdist_wheel" not in sys.argv:
        return []
    from mypyc.build import mypycify  # a build requirement of the compiled wheel only

    generated = WORK / "c"
    generated.mkdir()
    extensions = mypycify(
        COMPILED_MODULES,
        opt_level="3",
        debug_level="0",
        target_dir=str(generated),
        group_name="uds_dist._native",  # the shared helper library stays inside the package
    )
    for extension in extensions:
        # Before mypyc's own folder, which has files of the same names.
        extension.include_dirs.insert(0, str(RUNTIME))
        # Hide all symbols: mypyc's modules find each other by capsules. A visible function could be
        # replaced at load time, so gcc would not inline it and would call it through a table. With
        # hidden symbols the codec takes 0.85 of the time.
        extension.extra_compile_args.append("-fvisibility=hidden")
    return extensions


# setuptools would copy files of an earlier build into the wheel, even those of removed modules.
shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
setup(
    cmdclass={"sdist": SourceArchive},
    ext_modules=extension_modules(),
    options={"build": {"build_base": str(WORK)}, "egg_info": {"egg_base": str(WORK)}},
)
