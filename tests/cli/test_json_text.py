"""JSON text, compared with the standard library's, and beyond its limits."""

from __future__ import annotations

import json

import pytest

from uds_dist import ParseError
from uds_dist.cli.json_text import read_json, write_json

RIGHT = [
    "0",
    "-0",
    "-12",
    "1.5",
    "-0.0",
    "1e3",
    "1E+3",
    "1.5e-3",
    "1e-999",
    '""',
    '"a"',
    r'"\"\\\/\b\f\n\r\t\u00e9\u0000"',
    r'"\ud83d\ude00"',
    '"é\u2028😀\x7f"',
    "true",
    "false",
    "null",
    "[]",
    "{}",
    " [ 1 , [ ] , { } ] ",
    '\t{"a"\r:\n1,"b":{"":[null,{"c":"d"}]}}\n',
]


@pytest.mark.parametrize("text", RIGHT)
def test_json_is_read_and_written_like_the_standard_library(text: str) -> None:
    value = json.loads(text)
    assert repr(read_json(text)) == repr(value)
    assert write_json(value) == json.dumps(value, ensure_ascii=False)
    assert write_json(value, ascii_only=True) == json.dumps(value)


@pytest.mark.parametrize(
    ("text", "offset", "told"),
    [
        ("", 0, "expected a value, found the end"),
        (" ", 1, "expected a value, found the end"),
        ("[", 1, "expected a value"),
        ("[" * 100_000, 100_000, "expected a value"),
        ("]", 0, "expected a value, found ]"),
        ("[1,]", 3, "expected a value, found ]"),
        ("[1 2]", 3, "expected a comma or ]"),
        ("[1}", 2, "expected a comma or ]"),
        ("{,}", 1, "a key in double quotes"),
        ('{"a":1,}', 7, "a key in double quotes, found }"),
        ("{1:2}", 1, "a key in double quotes"),
        ('{"a" 1}', 5, "expected a colon"),
        ('{"a":}', 5, "expected a value"),
        ('{"a":1 "b":2}', 7, "expected a comma or }"),
        ('{"a":1,"a":1}', 7, "occurs twice"),
        (r'{"a":1,"\u0061":1}', 7, "occurs twice"),
        ("1 2", 2, "expected the end of the text"),
        ("01", 1, "expected the end of the text"),
        ("1.", 1, "unexpected"),
        ("+1", 0, "unexpected"),
        (".5", 0, "unexpected"),
        ("1e999", 0, "too large for a float"),
        ("[-1e999]", 1, "too large for a float"),
        ("NaN", 0, "NaN is not a number"),
        ("Infinity", 0, "Infinity is not a number"),
        ("-Infinity", 0, "unexpected"),
        ("nil", 0, "put a string in double quotes"),
        ("True", 0, "put a string in double quotes"),
        ("'a'", 0, "unexpected"),
        ('"a', 0, "unexpected"),
        ('"\n"', 0, "control character"),
        (r'"\x41"', 0, "escape"),
        (r'"\u12"', 0, "escape"),
        (r'"\ud800"', 0, "half a surrogate pair"),
        (r'["\udc00\ud800"]', 1, "half a surrogate pair"),
        (r'{"\ud800": 1}', 1, "half a surrogate pair"),
        ('"\udcff"', 0, "half a surrogate pair"),
        ("\ufeff1", 0, "unexpected"),
        ("// a\n1", 0, "unexpected"),
        ("1\0", 1, "unexpected"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_invalid_json_is_refused(text: str, offset: int, told: str) -> None:
    with pytest.raises(ParseError) as refused:
        read_json(text)
    assert told in str(refused.value)
    assert refused.value.offset == offset
    assert str(refused.value).isprintable() and len(str(refused.value)) < 200


def test_integers_of_any_length() -> None:
    number = -(7**50_000)
    text = write_json([number, {"k": number}])
    assert read_json(text) == [number, {"k": number}]


def test_any_depth() -> None:
    text = "[" * 50_000 + '{"a": 1}' + "]" * 50_000
    assert write_json(read_json(text)) == text
