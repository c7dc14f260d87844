"""The house rules that a program can check: storeys, imports and rooms.

Every check is a function from a folder to a list of complaints. Below the checks, each is run on
this project, where it must find nothing, and on a small bad example, where it must find it.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "uds_dist"

# A module imports only from its own storey and those below. The package itself stands between the
# node and what is built on it: it gives out the names of all below and is imported by those above.
STOREYS = {
    "config": 0,
    "errors": 0,
    "etf": 1,
    "protocol": 2,
    "transport": 3,
    "processes": 4,
    "services": 5,
    "node": 6,
    PACKAGE: 7,
    "testing": 8,
    "elixir": 8,
    "shell": 8,
    "cli": 9,
    "__main__": 10,
}
# Every room of the house. A new file is entered here in the change that adds it.
HOUSE = {
    "": "__init__.py __main__.py config.py errors.py node.py py.typed testing.py",
    "etf": "__init__.py atoms.py conversion.py decode.py digits.py encode.py identifiers.py"
    " leaves.py maps.py parse.py reader.py records.py scan.py segments.py shown.py terms.py"
    " text.py value.py writer.py",
    "protocol": "__init__.py challenges.py control.py decoder.py encoder.py flags.py fragments.py"
    " framing.py handshake.py handshake_messages.py handshake_table.py header.py node_names.py"
    " parse.py session.py",
    "transport": "__init__.py activation.py address.py backpressure.py binding.py connecting.py"
    " connection.py credentials.py descriptors.py fault.py folder.py handshaking.py hang_up.py"
    " holding.py listener.py log_rate.py loop.py ownership.py parting.py phase.py reasons.py"
    " receive_size.py signal_ticks.py sigpipe.py ticks.py timers.py waiting.py write_queue.py",
    "processes": "__init__.py accepting.py calls.py claims.py destination.py dialect.py"
    " dialling.py endings.py falling.py full_mailbox.py future.py identity.py inboxes.py links.py"
    " local_signals.py mailbox.py monitors.py names.py network.py notices.py numbers.py peers.py"
    " pending.py process.py program_terms.py remote_node.py router.py signals.py table.py"
    " this_node.py ties.py",
    "services": "__init__.py books.py cluster.py console.py console_helpers.py console_shell.py"
    " evaluator.py events.py exposed.py gen.py gen_server.py group_leader.py interruptions.py"
    " kernel.py local_node.py node_service.py outcome.py pg.py rpc.py runner.py server.py"
    " startup.py supervisor.py system.py system_requests.py tasks.py",
    "elixir": "__init__.py incoming.py outgoing.py regexes.py structs.py values.py",
    "shell": "__init__.py completion.py device.py editor.py history.py io_options.py io_server.py"
    " keys.py layout.py plain.py remote.py screen.py terminal.py",
    "cli": "__init__.py calls.py connected.py demo.py elixir_terms.py evaluate.py exit_codes.py"
    " hints.py json_terms.py json_text.py listen.py main.py messages.py names.py notation.py"
    " output.py probe.py several.py shells.py texts.py top.py trace.py words.py",
}
TOP_LEVEL = {
    "pyproject.toml",
    "Makefile",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "uds_dist",
    "tests",
    "typings",
}
# The three modules that import others by a call, and the calls that do it. The package loads the
# modules of its public names at their first use, and the services the console, which most programs
# never serve. The command line loads the module of the command that it runs: with all of them it
# would take twice as long to start. Every other import is at the top of its module.
COMMAND_LINE = f"{PACKAGE}.cli.main"
TABLES = ("MODULES", "OPTION_MODULES")
BY_CALL = {
    PACKAGE: {"import_module(f'{__name__}.{name}')", "import_module(_MODULES[name])"},
    f"{PACKAGE}.services": {"import_module(f'{__name__}.{name}')"},
    COMMAND_LINE: {
        "import_module(MODULES[name])",
        "import_module(OPTION_MODULES['--trace'])",
        "import_module(OPTION_MODULES['--json'])",
    },
}
# Names for what mypyc makes C of: native integers, a buffer of bytes. Never imported when the
# program runs.
ANNOTATIONS_ONLY = {"mypy_extensions", "librt"}
# Each costs more than all of uds_dist, and none has a place in a program without threads.
HEAVY = ("asyncio", "concurrent.futures", "multiprocessing", "subprocess")


# --- the checks -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One import statement's target, and where it stands."""

    importer: str
    target: str
    line: int
    in_function: bool
    type_checking: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.target}"


def module_files(root: Path) -> dict[str, Path]:
    """The package's modules by dotted name."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def read_imports(root: Path) -> list[Import]:
    """Every import of every module, those under TYPE_CHECKING and inside functions too.

    In place of the calls of BY_CALL stand the modules that they load. Those of the public names are
    imported under TYPE_CHECKING as well, and `table_faults` sees that they are the same; those of
    the commands are in a table, which is read.
    """
    files = module_files(root)
    trees = {name: ast.parse(path.read_text("utf-8"), str(path)) for name, path in files.items()}
    found = [found for name, tree in trees.items() for found in _imports(tree, name, files)]
    found = [each for each in found if each.target not in BY_CALL.get(each.importer, ())]
    if COMMAND_LINE in trees:
        found += _table_of_commands(trees[COMMAND_LINE])
    return found


def _table_of_commands(tree: ast.Module) -> Iterator[Import]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in TABLES:
            for target in dict.fromkeys(ast.literal_eval(node.value).values()):
                yield Import(COMMAND_LINE, target, node.lineno, False, False)


def _imports(
    node: ast.AST,
    importer: str,
    files: dict[str, Path],
    in_function: bool = False,
    typed: bool = False,
) -> Iterator[Import]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        for target in _targets(node, files):
            yield Import(importer, target, node.lineno, in_function, typed)
    elif isinstance(node, ast.Call) and _called(node) in ("__import__", "import_module"):
        yield Import(importer, ast.unparse(node), node.lineno, True, typed)
    in_function |= isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    guarded = node.body if isinstance(node, ast.If) and is_typing_only(node) else []
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, importer, files, in_function, typed or child in guarded)


def _targets(node: ast.Import | ast.ImportFrom, files: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = "." * node.level + (node.module or "")
    for alias in node.names:
        whole = f"{base}.{alias.name}"
        yield whole if whole in files else base


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def is_typing_only(node: ast.If) -> bool:
    return ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING"


def _storey(module: str) -> int | None:
    parts = module.split(".")
    return STOREYS.get(parts[1] if len(parts) > 1 else parts[0])


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


def storey_faults(root: Path) -> list[str]:
    """Imports from a storey above, relative imports, and modules that stand in no storey."""
    faults = [f"{m} stands in no storey" for m in module_files(root) if _storey(m) is None]
    for found in read_imports(root):
        own, other = _storey(found.importer), _storey(found.target)
        if found.target.startswith("."):
            faults.append(f"{found}: write the whole name")
        elif _is_ours(found.target) and own is not None and other is not None and other > own:
            faults.append(f"{found}, storey {other} from storey {own}")
    return faults


def hidden_imports(root: Path) -> list[str]:
    """Imports inside functions, and those made by a call."""
    return [f"{found} inside a function" for found in read_imports(root) if found.in_function]


def circles(root: Path) -> list[str]:
    """Modules that import each other in a ring, each ring once."""
    edges: dict[str, set[str]] = {name: set() for name in module_files(root)}
    for found in read_imports(root):
        if found.target in edges:
            edges[found.importer].add(found.target)
    rings: list[str] = []
    finished: set[str] = set()

    def walk(module: str, path: list[str]) -> None:
        if module in path:
            rings.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in finished:
            for target in sorted(edges[module]):
                walk(target, [*path, module])
            finished.add(module)

    for module in sorted(edges):
        walk(module, [])
    return rings


def foreign_imports(root: Path) -> list[str]:
    """Imports of what is neither ours nor the standard library's."""
    return [
        f"{found}, which is not in the standard library"
        for found in read_imports(root)
        if (name := found.target.split(".")[0])
        and name not in sys.stdlib_module_names
        and name != PACKAGE
        and not (found.type_checking and name in ANNOTATIONS_ONLY)
    ]


def unknown_files(root: Path) -> list[str]:
    """What stands at the top level or in the package without a place in the design."""
    house = {
        "/".join(filter(None, (PACKAGE, room, name)))
        for room, names in HOUSE.items()
        for name in names.split()
    }
    unknown = set()
    for name in _project_files(root):
        top = name.split("/")[0]
        if top == PACKAGE and name not in house:
            unknown.add(name)
        elif top not in TOP_LEVEL and not top.startswith("."):
            unknown.add(top)
    return sorted(unknown)


def _project_files(root: Path) -> list[str]:
    """What git has; without git the package's files, for all else there may be the user's own."""
    if (root / ".git").exists() and shutil.which("git"):
        listed = subprocess.run(
            # Also where another user owns the checkout.
            ["git", "-c", f"safe.directory={root}", "-c", "core.quotepath=off", "ls-files"],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        )
        return listed.stdout.splitlines()
    return [
        path.relative_to(root).as_posix()
        for path in (root / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


def imported(root: Path, program: str) -> set[str]:
    """The modules that a program brings in, which has the package of `root`."""
    # Isolated and without site: what a virtual environment imports at its start is not ours.
    run = subprocess.run(
        [sys.executable, "-I", "-B", "-S", "-X", "importtime", "-c",
         f"import sys; sys.path.insert(0, {str(root)!r}); {program}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    modules = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    assert PACKAGE in modules, run.stderr
    return modules


def heavy_imports(root: Path) -> list[str]:
    """Modules of HEAVY that the public names, all together, bring in."""
    modules = imported(root, f"from {PACKAGE} import *")
    return [name for name in HEAVY if name in modules]


def early_imports(root: Path) -> list[str]:
    """Modules of the package that are loaded before a name is asked for."""
    modules = imported(root, f"import {PACKAGE}")
    return sorted(name for name in modules if name.startswith(f"{PACKAGE}."))


# --- the checks run on this project ---------------------------------------------------------------


def test_each_storey_imports_only_from_below() -> None:
    assert storey_faults(ROOT) == []


def test_no_import_is_hidden() -> None:
    assert hidden_imports(ROOT) == []


def test_no_module_is_in_a_circle() -> None:
    assert circles(ROOT) == []


def test_only_the_standard_library_is_imported() -> None:
    assert foreign_imports(ROOT) == []


def test_every_file_is_in_the_design() -> None:
    assert unknown_files(ROOT) == []


def test_import_brings_in_nothing_heavy() -> None:
    assert heavy_imports(ROOT) == []


def test_import_brings_in_no_room() -> None:
    assert early_imports(ROOT) == []


# --- the checks run on bad examples ---------------------------------------------------------------


def project(root: Path, **sources: str) -> Path:
    """A small project: ``etf__decode="..."`` is uds_dist/etf/decode.py, ``init`` its __init__."""
    for name, source in sources.items():
        where = "__init__" if name == "init" else name.replace("__", "/")
        path = root / PACKAGE / f"{where}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return root


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"etf__decode": "from uds_dist.node import Node"}, "uds_dist.node"),
        ({"protocol__header": "import uds_dist.transport.loop"}, "uds_dist.transport.loop"),
        ({"node": "from uds_dist import Atom"}, "storey 7 from storey 6"),
        ({"node": "from uds_dist import shell", "shell__remote": ""}, "storey 7 from storey 6"),
        ({"init": "from uds_dist.cli.main import main"}, "storey 9 from storey 7"),
        ({"etf__decode": "from . import terms"}, "write the whole name"),
        ({"etf__decode": "from ..errors import DecodeError"}, "write the whole name"),
        ({"attic__old": ""}, "uds_dist.attic.old stands in no storey"),
        (
            {
                "etf__terms": "from typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    from uds_dist.node import Node\n"
            },
            "uds_dist.etf.terms:3",
        ),
    ],
)
def test_an_import_from_above_is_found(
    tmp_path: Path, sources: dict[str, str], fault: str
) -> None:
    assert fault in " ".join(storey_faults(project(tmp_path, **sources)))


def test_imports_from_below_are_no_fault(tmp_path: Path) -> None:
    project(
        tmp_path,
        errors="",
        etf__decode="from uds_dist.errors import DecodeError\nimport uds_dist.etf.terms",
        etf__terms="from uds_dist.errors import TermError",
        init="from uds_dist.etf.decode import decode",
        cli="from uds_dist import decode\nfrom uds_dist.shell.remote import main",
        shell__remote="from uds_dist import decode",
    )
    assert storey_faults(tmp_path) == circles(tmp_path) == foreign_imports(tmp_path) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    import os",
        "async def f():\n    from uds_dist.etf import terms",
        "class A:\n    def f(self):\n        if self:\n            import os",
        "import importlib\nx = importlib.import_module('uds_dist.node')",
        "x = __import__('os')",
        "x = import_module(_MODULES[name])",
    ],
)
def test_a_hidden_import_is_found(tmp_path: Path, source: str) -> None:
    assert len(hidden_imports(project(tmp_path, etf__decode=source))) == 1


def test_an_import_at_the_top_is_not_hidden(tmp_path: Path) -> None:
    source = "import sys\nif sys.platform == 'linux':\n    import fcntl\nclass A:\n    import os"
    assert hidden_imports(project(tmp_path, etf__decode=source)) == []


def test_only_the_package_loads_at_first_use(tmp_path: Path) -> None:
    source = "def __getattr__(name):\n    return import_module({})"
    project(tmp_path, init=source.format("_MODULES[name]"))
    assert hidden_imports(tmp_path) == foreign_imports(tmp_path) == []
    project(tmp_path, init=source.format("name"))
    assert len(hidden_imports(tmp_path)) == 1


def test_only_the_command_line_loads_by_a_table(tmp_path: Path) -> None:
    source = "MODULES = {}\ndef load(name):\n    return import_module(MODULES[name])"
    project(tmp_path, cli__main=source.format({"ping": "uds_dist.cli.calls"}), cli__calls="")
    assert hidden_imports(tmp_path) == foreign_imports(tmp_path) == []
    project(tmp_path, cli__calls=source.format({}))
    assert len(hidden_imports(tmp_path)) == 1


def test_the_table_of_the_command_line_is_read(tmp_path: Path) -> None:
    table = {"ping": "uds_dist.cli.calls", "all": "uds_dist.__main__", "top": "numpy"}
    project(
        tmp_path,
        cli__calls="from uds_dist.cli.main import main",
        cli__main=f"MODULES = {table}",
    )
    assert storey_faults(tmp_path) == [
        "uds_dist.cli.main:1 imports uds_dist.__main__, storey 10 from storey 9"
    ]
    assert len(foreign_imports(tmp_path)) == 1
    assert "uds_dist.cli.calls -> uds_dist.cli.main -> uds_dist.cli.calls" in circles(tmp_path)


def test_a_circle_is_found(tmp_path: Path) -> None:
    project(
        tmp_path,
        node="from uds_dist.processes.mailbox import Mailbox",
        processes__mailbox="from uds_dist.processes import links",
        processes__links="from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from uds_dist.node import Node\n",
    )
    assert circles(tmp_path) == [
        "uds_dist.node -> uds_dist.processes.mailbox -> uds_dist.processes.links -> uds_dist.node"
    ]


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import numpy", 1),
        ("from mypy_extensions import i64", 1),
        ("import typing\nif typing.TYPE_CHECKING:\n    from mypy_extensions import i64", 0),
        ("import typing\nif typing.TYPE_CHECKING:\n    import numpy", 1),
        ("import typing\nif typing.TYPE_CHECKING:\n    pass\nelse:\n    import mypy_extensions", 1),
        ("import os.path, socket\nfrom collections import abc", 0),
    ],
)
def test_a_foreign_import_is_found(tmp_path: Path, source: str, count: int) -> None:
    assert len(foreign_imports(project(tmp_path, etf__decode=source))) == count


def test_a_file_outside_the_design_is_found(tmp_path: Path) -> None:
    project(tmp_path, init="", etf__decode="", etf__helpers="", utils="")
    expected = ["uds_dist/etf/helpers.py", "uds_dist/utils.py"]
    assert unknown_files(tmp_path) == expected
    for name in ("README.md", "notes.txt", "venv/bin/python", "uds_dist/__pycache__/utils.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert unknown_files(tmp_path) == expected


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_a_tracked_file_outside_the_design_is_found(tmp_path: Path) -> None:
    project(tmp_path, init="", etf__helpers="")
    for name in ("README.md", "notes.txt", ".gitignore", "build/x", "scripts/run", "tests/a/b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert unknown_files(tmp_path) == []  # nothing is tracked yet
    subprocess.run(["git", "add", "-f", "."], cwd=tmp_path, check=True)
    expected = ["build", "notes.txt", "scripts", "uds_dist/etf/helpers.py"]
    assert unknown_files(tmp_path) == expected


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_checkout_of_another_user_is_read_all_the_same(tmp_path: Path) -> None:
    project(tmp_path, init="", etf__helpers="")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    for path in (tmp_path, tmp_path / ".git"):
        os.chown(path, 65534, 65534)
    assert unknown_files(tmp_path) == ["uds_dist/etf/helpers.py"]


def test_a_heavy_import_is_found(tmp_path: Path) -> None:
    project(tmp_path, init="import uds_dist.errors", errors="import concurrent.futures, threading")
    assert heavy_imports(tmp_path) == ["concurrent.futures"]
    project(tmp_path, errors="import threading")
    assert heavy_imports(tmp_path) == []


def test_an_early_import_is_found(tmp_path: Path) -> None:
    project(tmp_path, init="import uds_dist.errors", errors="")
    assert early_imports(tmp_path) == ["uds_dist.errors"]
