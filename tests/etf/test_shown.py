"""The text of foreign terms: bounded, printable, and never a reason to fail."""

from __future__ import annotations

import pytest

from uds_dist import (
    Atom,
    BitString,
    Export,
    FrozenList,
    Fun,
    ImproperList,
    LocalTerm,
    Map,
    Pid,
    Record,
    Reference,
)
from uds_dist.etf.shown import LENGTH, REPR_LENGTH, printable, shown

PID = Pid("a@b", 1, 2, 3)


def nested(depth: int, wrap: type = tuple) -> object:
    """A term with this depth."""
    term: object = 1
    for _ in range(depth):
        term = wrap([term])
    return term


def improper(depth: int) -> object:
    """Improper lists within improper lists."""
    term: object = 1
    for _ in range(depth):
        term = ImproperList([term], 2)
    return term


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (Atom("ok"), "Atom('ok')"),
        ((Atom("a"), [1, 2.5, b"x"], {"k": None}), "(Atom('a'), [1, 2.5, b'x'], {'k': None})"),
        ((1,), "(1,)"),
        ((), "()"),
        ({}, "{}"),
        (PID, "Pid('a@b', 1, 2, 3)"),
        (ImproperList([1], 2), "ImproperList((1,), 2)"),
        (FrozenList([1, 2]), "FrozenList([1, 2])"),
        (Map([(1, 2), (1.0, 3)]), "Map([(1, 2), (1.0, 3)])"),
        (BitString(b"\xf0", 4), "BitString(b'\\xf0', 4)"),
        (LocalTerm(b"x"), "LocalTerm(b'x')"),
        (Record(Atom("m"), Atom("n"), ((Atom("f"), 1),)),
         "Record(Atom('m'), Atom('n'), ((Atom('f'), 1),), exported=True)"),
    ],
)  # fmt: skip
def test_small_terms_are_shown_in_full(term: object, text: str) -> None:
    assert shown(term) == text
    assert repr(term) == text


HARD = {
    "a huge integer": 1 << 200_000,
    "a huge negative integer": -(1 << 200_000),
    "tuples": nested(50_000),
    "lists": nested(50_000, list),
    "improper lists": improper(50_000),
    "a long list": list(range(1_000_000)),
    "a long binary": bytes(10_000_000),
    "a long text": "é" * 10_000_000,
    "a line end": Atom("x\n2026-01-01 ERROR forged \x1b[31m\u202e"),
    "half a surrogate pair": "\ud800",
    "a huge integer as key": {1 << 200_000: 1},
    "a map of deep values": Map([(1, nested(50_000)), (1.0, 2)]),
    "a fun": Fun(Atom("m"), None, 1 << 200_000, b"", 1, 1, PID, (nested(50_000),)),
    "a record": Record(Atom("m"), Atom("n"), ((Atom("f"), nested(50_000)),)),
    "a wide and deep term": [[list(range(1000))] * 1000] * 1000,
}


@pytest.mark.parametrize("what", HARD)
def test_hard_terms_have_a_short_printable_text(what: str) -> None:
    text = shown(HARD[what])
    assert text.isprintable()
    assert 5 < len(text) < 2 * LENGTH
    assert "forged" not in text or "\\n" in text


@pytest.mark.parametrize("what", ["improper lists", "a map of deep values", "a fun", "a record"])
def test_no_repr_of_a_term_fails(what: str) -> None:
    assert len(repr(HARD[what])) < 2 * REPR_LENGTH


def test_values_that_are_not_terms() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError

    class Named(tuple[int, ...]):
        pass

    assert shown(Broken()) == "<Broken>"
    assert shown(Named((1, 2))) == "Named(1, 2)"
    assert shown({1}) == "{1}"


def test_identifiers_cannot_forge_lines() -> None:
    node = "a\nERROR@b"
    for term in (Pid(node, 1, 0, 1), Reference(node, 1, (1,)), Export(Atom("a\nb"), Atom("c"), 1)):
        assert repr(term).isprintable()
    assert str(Pid(node, 1, 0, 1)).isprintable()
    assert str(Reference(node, 1, (1,))).isprintable()


def test_printable() -> None:
    assert printable("plain") == "plain"
    assert printable("a\nb") == "a\\nb"
    assert printable("x" * 1000) == "x" * LENGTH + "..."
