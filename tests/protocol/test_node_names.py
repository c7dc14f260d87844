"""Node names, by the rules of OTP's net_kernel."""

from __future__ import annotations

import pytest

from uds_dist import NodeNameError
from uds_dist.protocol.node_names import split_node_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a@localhost", ("a", "localhost")),
        ("My_app-12@host.example.org", ("My_app-12", "host.example.org")),
        ("1@::1", ("1", "::1")),
        ("a@b\xfc\xdfen", ("a", "b\xfc\xdfen")),
        ("n" * 250 + "@host", ("n" * 250, "host")),
    ],
)
def test_node_names(name: str, parts: tuple[str, str]) -> None:
    assert split_node_name(name) == parts


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "@",
        "a@",
        "@host",
        "a@b@c",
        "a/b@host",
        "../a@host",
        "my.app@localhost",
        "my+app@localhost",
        "a b@host",
        "a@ho st",
        "a@ho/st",
        "a\0b@host",
        "a@host\n",
        "a\n@host",
        "\xe4@host",
        "\u0661@host",  # a digit, but not of ASCII
        "a@host\x85",
        "a@\u0431",
        "a\ud800@host",
        "a@host\udcff",
        "n" * 251 + "@host",
    ],
    ids=ascii,
)
def test_what_is_not_a_node_name(name: str) -> None:
    with pytest.raises(NodeNameError) as caught:
        split_node_name(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [None, 5, b"a@host", ["a@host"]], ids=repr)
def test_a_name_of_a_wrong_type(name: str) -> None:
    with pytest.raises(NodeNameError, match="must be text"):
        split_node_name(name)
