"""Erlang's text of terms, out and in; tests/corpus compares it with what real nodes print."""

from __future__ import annotations

import math
from typing import Any

import pytest

from uds_dist.errors import EncodeError, ParseError
from uds_dist.etf.terms import (
    Atom,
    BitString,
    Export,
    FrozenList,
    Fun,
    ImproperList,
    LocalTerm,
    Map,
    Pid,
    Port,
    Record,
    Reference,
    exact_key,
)
from uds_dist.etf.text import format_term, parse_term

PID = Pid("a@b", 1, 2, 3)

# As io:format("~0ktp") prints them on OTP 27.
BOTH_WAYS: list[tuple[Any, str]] = [
    (0, "0"),
    (-5, "-5"),
    (1 << 100, "1267650600228229401496703205376"),
    (1.0, "1.0"),
    (100.0, "100.0"),
    (1000.0, "1.0e3"),
    (123456.789, "123456.789"),
    (0.001, "0.001"),
    (0.0001, "0.0001"),
    (0.00001, "1.0e-5"),
    (1.5e-7, "1.5e-7"),
    (1e22, "1.0e22"),
    (9007199254740991.0, "9007199254740991.0"),
    (9007199254740992.0, "9.007199254740992e15"),
    (5e-324, "5.0e-324"),
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (True, "true"),
    (None, "nil"),
    (Atom("ok"), "ok"),
    (Atom("a@b_1"), "a@b_1"),
    (Atom("é"), "é"),
    (Atom("aÀ"), "aÀ"),
    (Atom(""), "''"),
    (Atom("Ok"), "'Ok'"),
    (Atom("_a"), "'_a'"),
    (Atom("x.y"), "'x.y'"),
    (Atom("if"), "'if'"),
    (Atom("maybe"), "'maybe'"),
    (Atom("else"), "'else'"),
    (Atom("жук"), "'жук'"),
    (Atom("hello world"), "'hello world'"),
    (Atom("a\nb'c\\"), r"'a\nb\'c\\'"),
    (Atom("\x01\x7f\x80\xa0"), "'\\001\\d\\200\xa0'"),
    (Atom("\v\f\b\0"), r"'\v\f\b\000'"),
    ((), "{}"),
    ((1, (2,)), "{1,{2}}"),
    ([], "[]"),
    ([[]], "[[]]"),
    (list(b"abc"), '"abc"'),
    (list(b'a\nb\x1b"\\'), r'"a\nb\e\"\\"'),
    ([8, 9, 10], r'"\b\t\n"'),
    ([97, 233], '"aé"'),
    ([7, 8], "[7,8]"),
    ([127], "[127]"),
    ([128], "[128]"),
    ([97, -1], "[97,-1]"),
    ([97, True], "[97,true]"),
    ([97, 1.0], "[97,1.0]"),
    ([1000, 2000], "[1000,2000]"),
    ([97, []], "[97,[]]"),
    (ImproperList([1, 2], 3), "[1,2|3]"),
    (ImproperList([97, 98], Atom("c")), "[97,98|c]"),
    (b"", "<<>>"),
    (b"abc", '<<"abc">>'),
    (b'a\nb\t\x1b"\\', r'<<"a\nb\t\e\"\\">>'),
    ("héllo".encode(), '<<"héllo"/utf8>>'),
    ("жук😀".encode(), '<<"жук😀"/utf8>>'),
    (b"\xe9", '<<"é">>'),
    (b"\0\1\2", "<<0,1,2>>"),
    (b"a\0", "<<97,0>>"),
    (b"\x7f", "<<127>>"),
    (b"\xc2\x85", "<<194,133>>"),
    (BitString(b"\x20", 3), "<<1:3>>"),
    (BitString(b"\xf0\xa0", 3), "<<240,5:3>>"),
    (BitString(b"abc\xa0", 4), "<<97,98,99,10:4>>"),
    ({}, "#{}"),
    ({1: 2}, "#{1 => 2}"),
    (Export(Atom("lists"), Atom("map"), 2), "fun lists:map/2"),
    (Export(Atom("A b"), Atom("C"), 1), "fun 'A b':'C'/1"),
    (Export(Atom("true"), Atom("nil"), 0), "fun true:nil/0"),
    (Map([(1, Atom("a")), (1.0, Atom("b"))]), "#{1 => a,1.0 => b}"),
    ({FrozenList([1]): [{}]}, "#{[1] => [#{}]}"),
]


@pytest.mark.parametrize(("term", "text"), BOTH_WAYS, ids=lambda value: repr(value)[:30])
def test_terms_are_printed_and_read_as_erlang_does(term: object, text: str) -> None:
    assert format_term(term) == text
    assert exact_key(parse_term(text)) == exact_key(term)


@pytest.mark.parametrize(
    ("term", "text"),
    [
        ("héllo", '<<"héllo"/utf8>>'),
        ("", "<<>>"),
        (bytearray(b"ab"), '<<"ab">>'),
        (memoryview(b"ab"), '<<"ab">>'),
        (PID, "<a@b.1.2>"),
        (Port("a@b", 5, 6), "#Port<a@b.5>"),
        (Reference("a@b", 3, (1, 2, 3)), "#Ref<a@b.3.2.1>"),
        (Fun(Atom("m"), 1, 2, bytes(16), 2, 99, PID), "#Fun<m.2.99>"),
        (Record(Atom("m"), Atom("r"), ()), "#m:r{}"),
        (
            Record(Atom("A b"), Atom("r"), ((Atom("x"), 1), (Atom("Y"), [{}]))),
            "#'A b':r{x = 1,'Y' = [#{}]}",
        ),
        (LocalTerm(b"abc"), "#Local<3>"),
    ],
)
def test_some_terms_are_only_printed(term: object, text: str) -> None:
    assert format_term(term) == text
    assert format_term([term, (term,)]) == f"[{text},{{{text}}}]"


def test_keys_are_printed_in_the_order_of_terms() -> None:
    keys: list[Any] = [
        -1,
        1,
        300,
        -2.0,
        1.0,
        Atom("Z"),
        Atom("a"),
        False,
        True,
        Reference("a@b", 1, (1,)),
        Fun(Atom("m"), 1, 2, bytes(16), 3, 4, PID),
        Export(Atom("m"), Atom("f"), 1),
        Port("a@b", 1, 1),
        PID,
        Pid("a@b", 2, 2, 3),
        (),
        (2,),
        (1, 1),
        Record(Atom("m"), Atom("r"), ()),
        Map([]),
        Map([(1, 1)]),
        Map([(1, 2)]),
        Map([(1.0, 0)]),
        FrozenList([]),
        FrozenList([1]),
        FrozenList([1, 2]),
        ImproperList([1], b""),
        FrozenList([2]),
        b"",
        b"a",
        "ab",
        BitString(b"a\x80", 1),
        b"b",
    ]
    text = format_term(Map([(key, 1) for key in reversed(keys)]))
    assert text == "#{" + ",".join(format_term(key) + " => 1" for key in keys) + "}"


@pytest.mark.parametrize(
    ("text", "term"),
    [
        (" { ok , [ ] } . ", (Atom("ok"), [])),
        ("% a comment\n1 % another", 1),
        ("ok.", Atom("ok")),
        ("1_000_000", 1_000_000),
        ("16#fF", 255),
        ("16#f_f", 255),
        ("2#101", 5),
        ("36#zZ", 35 * 37),
        ("- 7", -7),
        ("+7", 7),
        ("--7", 7),
        ("-16#10", -16),
        ("1.5E+3", 1500.0),
        ("1_0.2_5", 10.25),
        ("-0.0", -0.0),
        ("$a", 97),
        ("$ ", 32),
        ("$\\n", 10),
        ("$\\\\", 92),
        ("$'", 39),
        ("-$a", -97),
        ("$\\x{1F600}", 0x1F600),
        ("$\\x41", 65),
        ("$\\101", 65),
        ("$\\^a", 1),
        ("$\\s", 32),
        ("$é", 233),
        ('"a" "b"\n"c"', [97, 98, 99]),
        (r'"\x{436}\s\z"', [0x436, 32, 122]),
        ('"жук"', [1078, 1091, 1082]),
        ("''", Atom("")),
        ("'\\x{436}'", Atom("ж")),
        ("[a|[b|[]]]", [Atom("a"), Atom("b")]),
        ("[a|[b|c]]", ImproperList([Atom("a"), Atom("b")], Atom("c"))),
        ('[1|"a"]', [1, 97]),
        ("#{a => 1, \"k\" => #{[] => {}}}", {Atom("a"): 1, FrozenList(b"k"): {FrozenList([]): ()}}),
        ("fun m : f / 3", Export(Atom("m"), Atom("f"), 3)),
        ('~"é"', "é".encode()),
        ('~b"a\\n"', b"a\n"),
        ('~B"a\\n"', b"a\\n"),
        ("<<>>", b""),
        ("<< >>", b""),
        ("<<1, 255, 256, -1>>", b"\1\xff\0\xff"),
        ("<<$a, \"bc\", 16#64>>", b"abcd"),
        ('<<"é">>', b"\xe9"),
        ('<<"é"/utf8, 16#436/utf8>>', "éж".encode()),
        ('<<"é"/utf16>>', b"\0\xe9"),
        ('<<"é"/utf16-little>>', b"\xe9\0"),
        ('<<"é"/utf32>>', b"\0\0\0\xe9"),
        ("<<1:16>>", b"\0\1"),
        ("<<1:16/little>>", b"\1\0"),
        ("<<1:16/little-unsigned-integer>>", b"\1\0"),
        ("<<-2:16/signed-big>>", b"\xff\xfe"),
        ("<<16#ABC:12>>", BitString(b"\xab\xc0", 4)),
        ("<<16#ABC:12/little>>", BitString(b"\xbc\xa0", 4)),
        ("<<1:1, 0:1, 1:6>>", b"\x81"),
        ("<<5:3, 1:4>>", BitString(b"\xa2", 7)),
        ("<<9:0>>", b""),
        ('<<"ab":4>>', b"\x12"),
        ("<<1.0/float>>", b"\x3f\xf0" + bytes(6)),
        ("<<1.0:32/float-little>>", b"\0\0\x80\x3f"),
        ("<<1:64/float>>", b"\x3f\xf0" + bytes(6)),
        ("<<<<1, 2>>/binary, 3>>", b"\1\2\3"),
        ("<<<<1:1>>/bitstring, 1:7>>", b"\x81"),
        ("<<1:1_6>>", b"\0\1"),
    ],
)
def test_text_is_read(text: str, term: object) -> None:
    assert exact_key(parse_term(text)) == exact_key(term)


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ("", 0, "a term is due, here is the end"),
        (" % only a comment", 17, "a term is due, here is the end"),
        ("{", 1, "a term is due, here is the end"),
        ("{a", 2, "} is due, here is the end"),
        ("{a,}", 3, "a term is due, here is }"),
        ("[a,]", 3, "a term is due, here is ]"),
        ("[a|]", 3, "a term is due, here is ]"),
        ("[|a]", 1, "a term is due, here is |"),
        ("[a|b|c]", 4, "] is due, here is |"),
        ("[a|b,c]", 4, "] is due, here is ,"),
        ("{a|b}", 2, "} is due, here is |"),
        ("{a b}", 3, "} is due, here is b"),
        ("{a]", 2, "} is due, here is ]"),
        ("#{a}", 3, "=> is due, here is }"),
        ("#{a => }", 7, "a term is due, here is }"),
        ("#{a => 1, a => 2}", 0, "a key comes twice"),
        ("#{a => 1 => 2}", 9, "} is due, here is =>"),
        ("1 2", 2, "nothing more is due, here is 2"),
        ("1..", 2, "nothing more is due, here is ."),
        ("Foo", 0, "Foo is a variable, which has no value here: an atom is quoted"),
        ("_", 0, "a variable"),
        ("if", 0, "if is a reserved word"),
        ("{fun m:f/1, fun}", 15, "an atom is due, here is }"),
        ("fun(X) -> X end", 3, "an atom is due, here is ("),
        ("fun m:f/1000", 8, "an arity"),
        ("fun m:f", 7, "/ is due"),
        ("fun M:f/1", 4, "an atom is due, here is M"),
        ("<0.1.0>", 0, "pids, ports, references and records cannot be read"),
        ("#Ref<0.1>", 0, "cannot be read"),
        ("#r{}", 0, "cannot be read"),
        ("'abc", 0, "a quoted atom is not closed"),
        ('{"abc}', 1, "a string is not closed"),
        ("$", 0, "has no meaning here"),
        ("a ? b", 2, "has no meaning here"),
        ("1#0", 0, "a base of 2 to 36"),
        ("37#0", 0, "a base of 2 to 36"),
        ("2#2", 0, "a base of 2 to 36"),
        ("1.0e400", 0, "too large for a float"),
        ("-", 1, "a term is due"),
        ("- a", 2, "a term is due, here is a"),
        ('"\\x{110000}"', 0, "no character"),
        ("$\\x{99999999999999999999}", 0, "no character"),
        ("'" + "a" * 256 + "'", 0, "at most 255 characters"),
        ("'\\x{d800}'", 0, "surrogate"),
        ('~"\\x{d800}"', 0, "surrogate"),
        ("<<", 2, "a term is due, here is the end"),
        ("<<1", 3, ">> is due, here is the end"),
        ("<<1,>>", 4, "a segment is due"),
        ("<<,>>", 2, "a term is due, here is ,"),
        ("<<a>>", 2, "cannot have this value"),
        ("<<{}>>", 2, "a term is due"),
        ("<<1.0>>", 2, "cannot have this value"),
        ("<<1:a>>", 4, "int is due, here is a"),
        ("<<1:8/foo>>", 6, "foo is no type"),
        ("<<1/integer-float>>", 2, "contradict"),
        ("<<1/big-little>>", 2, "contradict"),
        ("<<1:99999999>>", 4, "at most"),
        ("<<1.0:13/float>>", 2, "cannot have this value or size"),
        ("<<1.0e300:32/float>>", 2, "cannot have this value or size"),
        ("<<16#110000/utf8>>", 2, "cannot have this value"),
        ("<<16#D800/utf8>>", 2, "cannot have this value"),
        ("<<1:8/utf8>>", 2, "cannot have this value or size"),
        ("<<<<1>>>>", 2, "cannot have this value"),
        ("<<<<1>>:8/binary>>", 2, "cannot have this value or size"),
        ("<<<<<<1>>/binary>>/binary>>", 4, "within a binary within"),
        ("[" * 513, 512, "deeper than 512"),
        ("{" * 100_000, 512, "deeper than 512"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_text_that_is_no_term_is_refused(text: str, offset: int, reason: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse_term(text)
    assert reason in str(refused.value)
    assert refused.value.offset == offset


@pytest.mark.parametrize("term", [math.inf, math.nan, {1, 2}, object(), "\ud800"], ids=repr)
def test_what_has_no_term_has_no_text(term: object) -> None:
    with pytest.raises(EncodeError):
        format_term([1, {1: term}])


def test_what_holds_itself_has_no_text() -> None:
    items: list[Any] = []
    items.append(items)
    with pytest.raises(EncodeError, match="hold themselves"):
        format_term(items)


@pytest.mark.parametrize("digits", [4299, 4301, 20_000, 100_000])
def test_numbers_of_any_length_are_printed_and_read(digits: int) -> None:
    number = 10**digits - 7 * 10 ** (digits // 2) + 1
    text = format_term(-number)
    assert len(text) == digits + 1
    assert text[:10] == "-999999999"
    assert parse_term(text) == -number
    assert parse_term("16#" + f"{number:x}") == number


def test_deep_terms_are_printed_and_read() -> None:
    term: Any = Atom("x")
    for n in range(512):
        term = [(term,), {1: term}, [term]][n % 3]
    assert exact_key(parse_term(format_term(term))) == exact_key(term)


def test_keys_too_deep_to_compare_are_printed_all_the_same() -> None:
    key: Any = 1
    for _ in range(5000):
        key = (key,)
    assert format_term({key: 1, (key,): 2}).count("=>") == 2
