"""What pyproject.toml cannot say to setuptools; run by ``backend.py`` beside this file."""

import os
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

# What mypyc compiles on request, as the list beside this file says.
COMPILED_MODULES = [
    line.replace(".", "/") + ".py"
    for line in (Path(__file__).parent / "compiled.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
# C in the place of mypyc's own, so that the compiled wheel needs no package at run time.
RUNTIME = Path(__file__).parent / "lib-rt"
# Not the package itself, but part of the source archive: to build it and to test it.
ARCHIVED = [
    "CHANGELOG.md",
    "Makefile",
    ".ci/*",
    ".packaging/**/*",
    "tests/**/*",
    "typings/**/*",
]

# Everything setuptools writes goes here, so that no folder of its own shows beside ours.
BUILD = os.environ.get("UDS_DIST_BUILD", "build")
WORK = Path(BUILD, "setuptools-{}.{}".format(*sys.version_info))


class SourceArchive(sdist):
    """setuptools' source archive with the files that MANIFEST.in would name at the top level."""

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
    """The compiled modules, when a wheel is being built and the environment asks for them."""
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
        # Before mypyc's own folder, which has a file of the same name.
        extension.include_dirs.insert(0, str(RUNTIME))
        # No symbol is for others: mypyc's modules find one another by capsules. A function that is
        # visible may be replaced at load time, so that gcc inlines none and calls each by way of a
        # table; without that the codec takes 0.85 of the time.
        extension.extra_compile_args.append("-fvisibility=hidden")
    return extensions


# setuptools copies whatever an earlier run left there into the wheel, removed modules included.
shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
setup(
    cmdclass={"sdist": SourceArchive},
    ext_modules=extension_modules(),
    options={"build": {"build_base": str(WORK)}, "egg_info": {"egg_base": str(WORK)}},
)
