"""The old names of exceptions, from before all of them ended in Error: aliases for one release."""

from __future__ import annotations

import pickle
from importlib import import_module

import pytest

import uds_dist

OLD_NAMES = {
    "Busy": "BusyError",  # old name
    "NoConnection": "NoConnectionError",  # old name
    "NoProcess": "NoProcessError",  # old name
    "RemoteTimeout": "RemoteTimeoutError",  # old name
    "ErlangException": "ErlangRaiseError",  # old name
}
# Answers in Erlang's classes: they are raised to answer, and are not faults.
ANSWERS = {"Throw", "Exit"}


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
@pytest.mark.parametrize("module", ["uds_dist", "uds_dist.errors"])
def test_an_old_name_is_the_same_class(module: str, old: str, new: str) -> None:
    found = getattr(import_module(module), old)
    assert found is getattr(uds_dist.errors, new) and found.__name__ == new
    assert old in uds_dist.__all__ and new in uds_dist.__all__
    assert old in str(uds_dist.errors.__doc__)


def test_an_exception_can_be_caught_by_its_old_name() -> None:
    with pytest.raises(uds_dist.NoConnection):  # old name
        raise uds_dist.ConnectFailedError("nobody")
    error = pickle.loads(pickle.dumps(uds_dist.Busy("full")))  # old name
    assert type(error) is uds_dist.BusyError


def test_every_exception_ends_in_error() -> None:
    names = {
        value.__name__
        for value in vars(uds_dist.errors).values()
        if isinstance(value, type) and issubclass(value, uds_dist.UdsDistError)
    }
    assert {name for name in names if not name.endswith("Error")} == ANSWERS
