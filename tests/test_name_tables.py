"""The public names: `__all__`, what `__init__.py` binds, its table of rooms and the contract agree.

As in `test_architecture`, each check is a function from a folder to a list of complaints, and is
run on this project and on a bad example.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.test_architecture import PACKAGE, ROOT, is_typing_only, project

# What __init__.py itself works with.
OWN_TOOLS = {"TYPE_CHECKING", "annotations", "import_module"}


# --- the checks -----------------------------------------------------------------------------------


def table_faults(root: Path) -> list[str]:
    """Names of ``__init__.py`` that type checkers and the interpreter get from elsewhere."""
    path = root / PACKAGE / "__init__.py"
    checked: dict[str, str | None] = {}
    loaded: dict[str, str | None] = {}
    for node in ast.parse(path.read_text("utf-8"), str(path)).body:
        if isinstance(node, ast.If) and is_typing_only(node):
            for found in node.body:
                if isinstance(found, ast.ImportFrom):
                    checked |= {alias.asname or alias.name: found.module for alias in found.names}
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ROOMS":
            rooms = ast.literal_eval(node.value)
            loaded = {name: room for room, names in rooms.items() for name in names}
    return [
        f"{name} is imported from {checked.get(name)} and loaded from {loaded.get(name)}"
        for name in sorted(checked.keys() | loaded.keys())
        if checked.get(name) != loaded.get(name)
    ]


def name_faults(root: Path) -> list[str]:
    """Differences between ``__all__``, the names ``__init__.py`` binds, and the contract's."""
    public, bound = _names(root / PACKAGE / "__init__.py")
    promised, defined = _names(root / "typings" / PACKAGE / "__init__.pyi")
    sets = {
        "bound in __init__.py": bound,
        "in the contract's __all__": promised,
        "defined in the contract": defined,
    }
    faults = []
    for place, names in sets.items():
        faults += [f"{name} is in __all__ but not {place}" for name in sorted(public - names)]
        faults += [f"{name} is {place} but not in __all__" for name in sorted(names - public)]
    return faults


def _names(path: Path) -> tuple[set[str], set[str]]:
    """A module's ``__all__``, and the public names that it binds."""
    public: set[str] = set()
    bound: set[str] = set()
    body = ast.parse(path.read_text("utf-8"), str(path)).body
    for node in body:
        if isinstance(node, ast.If) and is_typing_only(node):
            body += node.body
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            bound.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if names == {"__all__"} and node.value is not None:
                public = set(ast.literal_eval(node.value))
            else:
                bound |= names
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            # In a stub a plain import is for the stub's own use; only "X as X" gives X out.
            bound |= {
                alias.asname or alias.name
                for alias in node.names
                if path.suffix == ".py" or alias.asname == alias.name
            }
    bound -= OWN_TOOLS
    return public, {name for name in bound if not name.startswith("_") or name in public}


# --- the checks run on this project and on bad examples -------------------------------------------


def test_public_names_are_all_and_the_contract() -> None:
    assert name_faults(ROOT) == []


def test_public_names_are_loaded_from_where_type_checkers_find_them() -> None:
    assert table_faults(ROOT) == []


@pytest.mark.parametrize(
    ("table", "faults"),
    [
        ({"BusyError": "uds_dist.errors", "Node": "uds_dist.node"}, []),
        ({"BusyError": "uds_dist.errors"}, ["Node is imported from uds_dist.node and loaded from None"]),
        (
            {"BusyError": "uds_dist.config", "Node": "uds_dist.node"},
            ["BusyError is imported from uds_dist.errors and loaded from uds_dist.config"],
        ),
        (
            {"Atom": "uds_dist.etf", "BusyError": "uds_dist.errors", "Node": "uds_dist.node"},
            ["Atom is imported from None and loaded from uds_dist.etf"],
        ),
    ],
)
def test_a_name_with_two_modules_is_found(
    tmp_path: Path, table: dict[str, str], faults: list[str]
) -> None:
    project(
        tmp_path,
        init="if TYPE_CHECKING:\n"
        "    from uds_dist.errors import BusyError\n"
        "    from uds_dist.node import Node\n"
        f"_ROOMS = { {room: [name] for name, room in table.items()} }\n",
    )
    assert table_faults(tmp_path) == faults


def test_a_difference_of_names_is_found(tmp_path: Path) -> None:
    project(
        tmp_path,
        init="from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "import os as _os\n"
        "if TYPE_CHECKING:\n"
        "    from uds_dist.errors import BusyError, ClosedError\n"
        "COMPILED: bool = False\n"
        "__all__ = ['BusyError', 'COMPILED']\n",
    )
    contract = tmp_path / "typings" / PACKAGE / "__init__.pyi"
    contract.parent.mkdir(parents=True)
    contract.write_text(
        "from collections.abc import Mapping\n"
        "from uds_dist.errors import BusyError as BusyError\n"
        "__all__ = ['BusyError', 'COMPILED', 'Node']\n"
        "class Node: ...\n"
    )
    assert name_faults(tmp_path) == [
        "ClosedError is bound in __init__.py but not in __all__",
        "Node is in the contract's __all__ but not in __all__",
        "COMPILED is in __all__ but not defined in the contract",
        "Node is defined in the contract but not in __all__",
    ]
