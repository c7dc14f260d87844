"""Terms to JSON and back, and in Elixir's notation."""

from __future__ import annotations

import json

import pytest

from uds_dist import (
    Atom,
    BitString,
    Export,
    FrozenList,
    ImproperList,
    Map,
    ParseError,
    Pid,
    Port,
    Record,
    Reference,
    encode,
)
from uds_dist.cli.json_terms import from_json, to_json
from uds_dist.cli.json_text import read_json, write_json
from uds_dist.cli.notation import format_elixir

A = Atom("a")
PID = Pid("n@h", 7, 0, 9)

# A term, and its JSON.
PAIRS: list[tuple[object, object]] = [
    (0, 0),
    (-(2**70), -(2**70)),
    (1.0, 1.0),
    (-0.0, -0.0),
    (1e300, 1e300),
    (True, True),
    (False, False),
    (None, None),
    (Atom("ok"), {"$atom": "ok"}),
    (Atom(""), {"$atom": ""}),
    (b"", ""),
    ("zażółć".encode(), "zażółć"),
    (b":no atom", ":no atom"),
    (b"$atom", "$atom"),
    (b"\xff\x00", {"$binary": "/wA="}),
    ([], []),
    ([1, [2.5, None]], [1, [2.5, None]]),
    ((), {"$tuple": []}),
    ((Atom("ok"), 1), {"$tuple": [{"$atom": "ok"}, 1]}),
    (ImproperList([1, 2], A), {"$improper": [1, 2, {"$atom": "a"}]}),
    ({}, {}),
    ({b"k": 1, A: b"v"}, {"k": 1, ":a": "v"}),
    ({None: 1, True: 2}, {":nil": 1, ":true": 2}),
    ({b":a": 1}, {"$map": [[":a", 1]]}),
    ({b"$a": 1}, {"$map": [["$a", 1]]}),
    ({b"\xff": 1, b"a": 2}, {"$map": [[{"$binary": "/w=="}, 1], ["a", 2]]}),
    ({1: {(): 2}}, {"$map": [[1, {"$map": [[{"$tuple": []}, 2]]}]]}),
    (Map([(1, A), (1.0, A)]), {"$map": [[1, {"$atom": "a"}], [1.0, {"$atom": "a"}]]}),
    ({FrozenList([1, 2]): 3}, {"$map": [[[1, 2], 3]]}),
    ({Map([(b"k", 1)]): 3}, {"$map": [[{"k": 1}, 3]]}),
    (BitString(b"\xa0", 3), {"$etf": "g00AAAABA6A=", "text": "<<5:3>>"}),
]
OPAQUE = [PID, Port("n@h", 7, 9), Reference("n@h", 9, (1, 2)), Export(A, A, 1), Record(A, A, ())]


@pytest.mark.parametrize(("term", "value"), PAIRS)
def test_json_both_ways(term: object, value: object) -> None:
    text = write_json(to_json(term), ascii_only=True)
    assert text == json.dumps(value)
    # Compare the bytes: == does not tell 1, 1.0 and true apart.
    assert encode(from_json(read_json(text))) == encode(term)


@pytest.mark.parametrize("term", OPAQUE)
def test_a_term_without_a_json_value_is_kept_as_bytes(term: object) -> None:
    value = to_json([term])
    assert isinstance(value, list) and value[0].keys() == {"$etf", "text"}
    assert from_json(value) == [term]
    del value[0]["text"]
    assert from_json(value) == [term]


@pytest.mark.parametrize("depth", [512, 5000])
def test_a_deep_term_has_json_and_a_text(depth: int) -> None:
    term: object = A
    for level in range(depth):
        term = [[term], (term,), {b"k": term}, {1: term}, ImproperList([term], 1)][level % 5]
    text = write_json(to_json(term))
    assert format_elixir(term).count(":a") == 1
    if depth <= 512:
        assert encode(from_json(read_json(text))) == encode(term)
    else:
        with pytest.raises(ParseError, match="nested deeper than 512"):
            from_json(read_json(text))


def test_deep_keys_have_json() -> None:
    key: object = A
    for _ in range(500):
        key = (key,)
    term = Map([(key, 1), ((key,), 2)])
    assert encode(from_json(read_json(write_json(to_json(term))))) == encode(term)


@pytest.mark.parametrize(
    "text",
    [
        '{"$x": 1}',
        '{"$": 1}',
        '{"$atom": {"$binary": "YQ=="}}',
        '{"$atom": null}',
        '{"$atom": "a", "$tuple": []}',
        '{"$tuple": "ab"}',
        '{"$tuple": null}',
        '{"$binary": "YQ"}',
        '{"$binary": 1}',
        '{"$binary": "é"}',
        '{"$map": [1, 2]}',
        '{"$map": [[1, 2, 3]]}',
        '{"$map": ["ab"]}',
        '{"$map": [{"a": 1, "b": 2}]}',
        '{"$improper": [1]}',
        '{"$improper": {"a": 1}}',
        '{"$improper": [[], []]}',
        '{"$etf": "g2o=", "more": 1}',
        '{"$etf": null}',
        '{"$etf": "g2ECYQ=="}',
        '{":' + "a" * 256 + '": 1}',
        "[" * 513 + "]" * 513,
        '{"$tuple": [' * 513 + "]}" * 513,
        '{"$atom": "a", "b": 1}',
        '{"$atom": 1}',
        '{"$tuple": {}}',
        '{"$binary": "not base 64!"}',
        '{"$map": [[1]]}',
        '{"$map": {"a": 1}}',
        '{"$map": [1]}',
        '{"$improper": []}',
        '{"$etf": ""}',
        '{"$etf": "AAAA"}',
        '{"$improper": [1, []]}',
        '{"$map": [[1, 2], [1, 3]]}',
        '{"$atom": "' + "a" * 256 + '"}',
    ],
)
def test_json_that_is_not_a_term(text: str) -> None:
    with pytest.raises(ParseError) as refused:
        from_json([read_json(text)])
    assert len(str(refused.value)) < 300


def test_an_unknown_mark_is_named() -> None:
    with pytest.raises(ParseError, match=r"'\$pid'.*\$atom, \$tuple, \$binary"):
        from_json({"$pid": "<0.1.0>"})


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (None, "nil"),
        (True, "true"),
        (1.5, "1.5"),
        (-7, "-7"),
        (Atom("ok"), ":ok"),
        (Atom("valid?"), ":valid?"),
        (Atom("two words"), ':"two words"'),
        (Atom("Elixir.Enum"), "Enum"),
        (Atom("Elixir.My.App"), "My.App"),
        (Atom("Elixir"), "Elixir"),
        (Atom("Z"), ":Z"),
        (Atom("a@b"), ":a@b"),
        *[(Atom(name), f":{name}") for name in "+ -> ..// <<>> %{} @ a! é É 日本 and when ^ \\\\".split()],
        *[(Atom(name), f':"{name}"') for name in ":: => ^^^ ~~~ // a-b 1a @@ <|>".split()],
        (Atom("a\u00a0b"), ':"a\\u00A0b"'),
        (Atom("Elixir.É"), ':"Elixir.É"'),
        (Atom("Elixir.odd"), ':"Elixir.odd"'),
        (b"", '""'),
        ("grüße".encode(), '"grüße"'),
        (b'a"b\\c\n\t#{x}', r'"a\"b\\c\n\t\#{x}"'),
        (b"\xff\x01", "<<255, 1>>"),
        (b"a\0", "<<97, 0>>"),
        (b"\a\b\x7f\x1b\f\n\r\t\v", r'"\a\b\d\e\f\n\r\t\v"'),
        ("\u00a0\u200b\u202e\ufeff".encode(), r'"\u00A0\u200B\u202E\uFEFF"'),
        ("\u3000\u0301\U0001f600".encode(), '"\u3000\u0301\U0001f600"'),
        ("\ufffe".encode(), "<<239, 191, 190>>"),
        (1e10, "10000000000.0"),
        (1e15, "1000000000000000.0"),
        (1e16, "1.0e16"),
        (9007199254740991.0, "9007199254740991.0"),
        (0.0001, "0.0001"),
        (0.00012345, "1.2345e-4"),
        (-0.0, "-0.0"),
        (10**100, "1" + "0" * 100),
        ([7], r'~c"\a"'),
        ([0], "[0]"),
        ([104, 127], "[104, 127]"),
        ([233], "[233]"),
        ([35, 123], r'~c"\#{"'),
        (Export("Elixir.Enum", "map", 2), "&Enum.map/2"),  # type: ignore[arg-type]
        (Export("lists", "a b", 2), '&:lists."a b"/2'),  # type: ignore[arg-type]
        ({Atom("+"): 1, True: 2, None: 3}, "%{+: 1, nil: 3, true: 2}"),
        ({1: 2, A: 1, b"k": 3}, '%{1 => 2, :a => 1, "k" => 3}'),
        ([], "[]"),
        ([1, 2], "[1, 2]"),
        ([104, 105], '~c"hi"'),
        ([(A, 1), (Atom("B c"), None)], '[a: 1, "B c": nil]'),
        ([(A, 1), (b"a", 1)], '[{:a, 1}, {"a", 1}]'),
        ((A, ()), "{:a, {}}"),
        (ImproperList([1, 2], A), "[1, 2 | :a]"),
        ({}, "%{}"),
        ({A: 1, Atom("Z"): 2}, "%{Z: 2, a: 1}"),
        ([(True, 1), (None, 2)], "[true: 1, nil: 2]"),
        ({b"k": {A: 1}}, '%{"k" => %{a: 1}}'),
        ({Atom("Elixir.A"): 1}, "%{A => 1}"),
        ({Atom("__struct__"): Atom("Elixir.User"), Atom("id"): 1}, "%User{id: 1}"),
        (Map([(1, A), (1.0, A)]), "%{1 => :a, 1.0 => :a}"),
        (PID, "#PID<n@h.7.0>"),
        (BitString(b"\x01\xa0", 3), "<<1, 5::size(3)>>"),
    ],
)
def test_elixir_notation(term: object, text: str) -> None:
    assert format_elixir(term) == text
