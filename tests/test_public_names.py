"""The public names are loaded at their first use; a program sees no difference."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import pydoc
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import uds_dist
from uds_dist import Atom, Config, Export, Stop

FOLDER = Path(uds_dist.__file__).parent.parent


def afresh(program: str) -> str:
    """The output of a program in an interpreter that has not used the package yet."""
    program = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); {program}"
    run = subprocess.run(
        [sys.executable, "-I", "-B", "-c", program],
        check=True,
        capture_output=True,
        text=True,
    )
    return run.stdout.strip()


@pytest.mark.parametrize("name", uds_dist.__all__)
def test_a_name_is_the_same_object_as_in_its_module(name: str) -> None:
    value = getattr(uds_dist, name)
    assert value is getattr(import_module(uds_dist._MODULES[name]), name)
    assert vars(uds_dist)[name] is value  # the next use does not load


def test_a_star_imports_all_names() -> None:
    names: dict[str, object] = {}
    exec("from uds_dist import *", names)
    del names["__builtins__"]
    assert names.keys() == set(uds_dist.__all__)


def test_dir_and_help_show_names_before_their_use() -> None:
    shown = afresh("import uds_dist; print(*dir(uds_dist))").split()
    assert {*uds_dist.__all__, "__doc__", "__path__"} <= set(shown)
    assert shown == sorted(set(shown))
    text = pydoc.plain(pydoc.render_doc(uds_dist))
    assert "class EventLoop(" in text and "parse_term(text" in text


def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="^module 'uds_dist' has no attribute 'Nodes'$"):
        getattr(uds_dist, "Nodes")
    with pytest.raises(ImportError, match="^cannot import name 'Nodes' from 'uds_dist' "):
        exec("from uds_dist import Nodes")
    assert not hasattr(uds_dist, "__wrapped__")


@pytest.mark.parametrize(
    "program",
    [
        "import uds_dist; uds_dist.errors.BusyError, uds_dist.config.Config",
        "import uds_dist.errors; uds_dist.errors.BusyError",
        "import uds_dist.testing; uds_dist.testing.FakeClock",
        "from uds_dist import config, errors, testing; errors.BusyError",
        "import uds_dist.errors as errors; errors.BusyError",
        "from uds_dist import BusyError, errors; assert BusyError is errors.BusyError",
    ],
)
def test_modules_can_be_used_as_in_any_package(program: str) -> None:
    afresh(program)


def test_no_public_name_is_a_modules_name() -> None:
    """Importing the module would replace the name."""
    package = Path(uds_dist.__file__).parent
    assert not {path.stem for path in package.iterdir()} & set(uds_dist.__all__)


def switches() -> list[tuple[str, inspect.Parameter]]:
    """The arguments of public functions and classes that are True or False."""
    found = []
    for name in uds_dist.__all__:
        value = getattr(uds_dist, name)
        if not callable(value) or hasattr(value, "_fields"):  # programs get NamedTuples and do not make them
            continue
        calls = [(name, value)]
        if isinstance(value, type):
            ours = [each for each in value.__mro__ if each.__module__.startswith("uds_dist")]
            calls += [(f"{name}.{key}", part) for each in ours for key, part in vars(each).items()]
        for where, call in calls:
            try:
                parameters = inspect.signature(call).parameters.values()
            except (TypeError, ValueError):  # not a function; or it has no signature
                continue
            found += [
                (f"{where}({each.name}=)", each)
                for each in parameters
                if each.annotation in ("bool", bool) or isinstance(each.default, bool)
            ]
    return found


def test_switches_are_keyword_only() -> None:
    found = dict(switches())
    assert {"Mailbox.send(priority=)", "Node.mailbox(trap_exit=)", "Record(exported=)"} <= set(found)
    assert [where for where, each in found.items() if each.kind is not each.KEYWORD_ONLY] == []


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("BusyError", {"config", "etf", "protocol", "transport", "processes", "services", "node"}),
        ("Config", {"etf", "protocol", "transport", "processes", "services", "node"}),
        ("decode", {"protocol", "transport", "processes", "services", "node"}),
        ("EventLoop", {"config", "etf", "protocol", "processes", "services", "node"}),
        ("Node", {"testing", "cli", "demo", "notation"}),
    ],
)
def test_a_name_loads_only_the_storeys_below_it(name: str, absent: set[str]) -> None:
    loaded = afresh(f"from uds_dist import {name}; print(*sys.modules)").split()
    rooms = {module.split(".")[1] for module in loaded if module.startswith("uds_dist.")}
    assert rooms and not rooms & absent


def test_a_pickle_loads_before_the_first_use() -> None:
    term = uds_dist.Export("m", "f", 1)  # type: ignore[arg-type]  # it takes any str
    data = pickle.dumps((term, uds_dist.BusyError("full")))
    assert afresh(f"import pickle; print(pickle.loads({data!r})[0])") == "fun m:f/1"


def test_the_values_that_a_program_makes_are_frozen_dataclasses() -> None:
    examples: list[tuple[Any, dict[str, object]]] = [
        (Config(cookie="secret", default=str), {"tick_time": 5.0}),
        (Stop("over", 1), {"reason": "other"}),
        (Export(Atom("m"), Atom("f"), 1), {"arity": 2}),
    ]
    for value, changes in examples:
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        for same in (type(value)(**fields), dataclasses.replace(value), copy.copy(value)):
            assert same == value and hash(same) == hash(value) and repr(same) == repr(value)
        other = dataclasses.replace(value, **changes)
        assert other != value and type(other) is type(value)
        assert dataclasses.replace(other, **{name: fields[name] for name in changes}) == value
        for name in fields:
            with pytest.raises(dataclasses.FrozenInstanceError, match=name):
                setattr(value, name, fields[name])
    assert repr(Config(cookie="secret")).startswith("Config(socket_dir=None, layout='uds_dist',")
    assert "cookie" not in repr(Config(cookie="secret"))
    assert repr(Stop()) == "Stop(reason=Atom('normal'), reply=NoReply())"
