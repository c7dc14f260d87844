"""The lines of `--trace`: readable, bounded, and without the cookie."""

from __future__ import annotations

import pytest

from uds_dist import Atom, ImproperList
from uds_dist.cli.trace import MAX_PAYLOAD, tracer
from uds_dist.protocol.control import NO_PAYLOAD

COOKIE = "a-long-cookie"


def line(capsys: pytest.CaptureFixture[str], payload: object) -> str:
    """The line of a SEND with this payload, without what precedes the payload."""
    tracer(COOKIE)("sent", "b@h", (2, Atom(""), Atom("to")), payload)
    (shown,) = capsys.readouterr().err.splitlines()
    start = "-> b@h  Send '' to"
    assert shown.startswith(start)
    return shown[len(start) :].lstrip()


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (NO_PAYLOAD, ""),
        ((Atom("add"), 1, b"x"), '{add,1,<<"x">>}'),
        ({Atom("k"): [1.5, None]}, "#{k => [1.5,nil]}"),
        ([104, 105], '"hi"'),
        (ImproperList([1], 2), "[1|2]"),
        (b"\n\x1b[2J", '<<"\\n\\e[2J">>'),
        ((Atom(COOKIE), COOKIE.encode()), "{'***',<<\"***\">>}"),
    ],
)
def test_terms_are_written_as_erlang_writes_them(
    capsys: pytest.CaptureFixture[str], payload: object, shown: str
) -> None:
    assert line(capsys, payload) == shown


def deep() -> object:
    term: object = []
    for _ in range(100_000):
        term = [term]
    return term


@pytest.mark.parametrize(
    ("payload", "start"),
    [
        (deep(), "[[[[["),
        ([[Atom("row"), b"x" * 1000]] * 10_000, '[[row,<<"xxxx'),
        (b"x" * 1_000_000, '<<"xxxx'),
        ({number: {Atom("a"): [0] * 1000} for number in range(1000)}, "#{0 => #{a => [0,0,"),
        (10**5000, "'<an integer of 16610 bits>'"),
    ],
    ids=["deep", "wide", "binary", "maps", "integer"],
)
def test_of_a_large_term_the_beginning_is_shown(
    capsys: pytest.CaptureFixture[str], payload: object, start: str
) -> None:
    shown = line(capsys, payload)
    assert shown.startswith(start) and len(shown) <= MAX_PAYLOAD + len("...")


@pytest.mark.parametrize("place", range(MAX_PAYLOAD - 20, MAX_PAYLOAD + 5))
@pytest.mark.parametrize("kind", [str, bytes, list])
def test_no_part_of_the_cookie_is_shown_where_a_term_is_cut(
    capsys: pytest.CaptureFixture[str], place: int, kind: type
) -> None:
    text = "." * place + COOKIE + "." * 100
    payload = text if kind is str else text.encode() if kind is bytes else [ord(c) for c in text]
    assert "a-" not in line(capsys, payload)
