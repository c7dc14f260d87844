"""Writing and reading Erlang's text of terms; tests/corpus compares it with real nodes' output."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
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
    freeze,
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
def test_terms_are_printed_and_read_like_in_erlang(term: object, text: str) -> None:
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
        (Fun(Atom("\x1b[2J\n"), 1, 2, bytes(16), 2, 99, PID), r"#Fun<\x1b[2J\n.2.99>"),
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


SIGIL_QUOTES = ["()", "[]", "{}", "<>", "//", "||", "''", '""', "``", "##"]


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
        ("+ 7", 7),
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
        ("<<1:(8), 2:(+8), 3:$\\b>>", b"\1\2\3"),
        ("<<1:2/unit:8, 1:1/integer-unit:4-little, 2:4/native>>", b"\0\1\x12"),
        ("<<256:16/native>>", (256).to_bytes(2, sys.byteorder)),
        ("<<<<\"abc\">>:2/binary, (<<\"abc\">>):1/bytes>>", b"aba"),
        ("<<<<\"abc\">>:9/bits, 1:7>>", b"a\x01"),
        ("<<<<<<<<1>>/binary, 2>>/binary>>/binary, 3>>", b"\1\2\3"),
        ('<<("ab"), ~s"c", "d" "e">>', b"abcde"),
        ('<<~"é"/binary>>', "é".encode()),
        ("<<70000.0:16/float, 1.0e39:32/float>>", b"\x7c\0\x7f\x80\0\0"),
        ('~s"é\\n"', [233, 10]),
        ('~S"a\\n"', list(b"a\\n")),
        *[(f"~s{quotes[0]}a b{quotes[1]}", list(b"a b")) for quotes in SIGIL_QUOTES],
        *[(f"~b{quotes[0]}a\\{quotes[1]}b{quotes[1]}", f"a{quotes[1]}b") for quotes in SIGIL_QUOTES],
        *[(f"~B{quotes[0]}a\\{quotes[1]}", b"a\\") for quotes in SIGIL_QUOTES],
        ("~s{\\x{41}}", [65]),
        ('"""\n  a\n   b\n\n  """', list(b"a\n b\n")),
        ('"""\r\n\ta\\n\r\n\t"""', list(b"a\\n")),
        ('""""\n"""\n""""', list(b'"""')),
        ('~"""\n  \\n\n  """', b"\\n"),
        ('~b"""\n  \\n\\\n  b\n  """', b"\n\nb"),
        ('~s"""\n"""', []),
        ('"a" """\nb\n"""', [97, 98]),
        ("(a)", Atom("a")),
        ("-(1)", -1),
        ("((-(1.5)))", -1.5),
        ("[(a)|([(b), c|(d)])]", ImproperList([Atom("a"), Atom("b"), Atom("c")], Atom("d"))),
        ("[a, b|[c, d|[e]]]", [Atom(char) for char in "abcde"]),
        ("[a|" * 600 + "[]" + "]" * 600, [Atom("a")] * 600),
        ("(" * 600 + "a" + ")" * 600, Atom("a")),
        ("# {a => 1, a => 2}", {Atom("a"): 2}),
        ("#{1 => a, 1.0 => b, 1 => c}", Map([(1, Atom("c")), (1.0, Atom("b"))])),
        ("1_6#f_f", 255),
        ("16#f.8#e-1", 15.5 / 16),
        ("2#.1", 0.5),
        ("10#1.5#e3", 1500.0),
        ("1.0e-400", 0.0),
        ("$\\^?", 127),
        ("'\\^\\'", Atom("\x1c")),
        ("3#" + "12" * 1000, int("12" * 1000, 3)),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_text_is_read(text: str, term: object) -> None:
    assert exact_key(parse_term(text)) == exact_key(term)


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ("", 0, "expected a term, found the end"),
        (" % only a comment", 17, "expected a term, found the end"),
        ("{", 1, "expected a term, found the end"),
        ("{a", 2, "expected }, found the end"),
        ("{a,}", 3, "expected a term, found }"),
        ("[a,]", 3, "expected a term, found ]"),
        ("[a|]", 3, "expected a term, found ]"),
        ("[|a]", 1, "expected a term, found |"),
        ("[a|b|c]", 4, "expected ], found |"),
        ("[a|b,c]", 4, "expected ], found ,"),
        ("{a|b}", 2, "expected }, found |"),
        ("{a b}", 3, "expected }, found b"),
        ("{a]", 2, "expected }, found ]"),
        ("#{a}", 3, "expected =>, found }"),
        ("#{a => }", 7, "expected a term, found }"),
        ("#{a => 1 => 2}", 9, "expected }, found =>"),
        ("1..", 1, "expected the end of the text, found ."),
        ("1..", 1, "expected the end of the text, found ."),
        ("Foo", 0, "Foo is a variable: put an atom in single quotes"),
        ("_", 0, "a variable"),
        ("if", 0, "if is a reserved word"),
        ("{fun m:f/1, fun}", 15, "expected an atom, found }"),
        ("fun(X) -> X end", 3, "expected an atom, found ("),
        ("fun m:f/1000", 8, "an arity"),
        ("fun m:f", 7, "expected /"),
        ("fun M:f/1", 4, "expected an atom, found M"),
        ("<0.1.0>", 0, "cannot read pids, ports, references, funs or records"),
        ("#Ref<0.1>", 0, "cannot read pids"),
        ("#r{}", 0, "cannot read pids"),
        ("'abc", 0, "a quoted atom is not closed"),
        ('{"abc}', 1, "a string is not closed"),
        ("$", 0, "unexpected character"),
        ("a ? b", 2, "unexpected character"),
        ("1#0", 0, "a base from 2 to 36"),
        ("37#0", 0, "a base from 2 to 36"),
        ("2#2", 0, "a base from 2 to 36"),
        ("1.0e400", 0, "too large for a float"),
        ("-", 1, "expected a term"),
        ("- a", 2, "expected a term, found a"),
        ('"\\x{110000}"', 0, "is not a character"),
        ("$\\x{99999999999999999999}", 0, "is not a character"),
        ("'" + "a" * 256 + "'", 0, "at most 255 characters"),
        ("'\\x{d800}'", 0, "is not a character"),
        ('~"\\x{d800}"', 0, "is not a character"),
        ("<<", 2, "expected a term, found the end"),
        ("<<1", 3, "expected >>, found the end"),
        ("<<1,>>", 4, "expected a term, found >>"),
        ("<<,>>", 2, "expected a term, found ,"),
        ("<<a>>", 2, "cannot have this value"),
        ("<<{}>>", 2, "cannot have this value"),
        ("<<1.0>>", 2, "cannot have this value"),
        ("<<1:a>>", 4, "expected a size, found a"),
        ("<<1:8/foo>>", 2, "foo is not a segment type"),
        ("<<1/integer-float>>", 2, "contradict"),
        ("<<1/big-little>>", 2, "contradict"),
        ("<<1:999999999>>", 2, "at most"),
        ("<<1.0:13/float>>", 2, "cannot have this value or size"),
        (f"<<{'9' * 400}/float>>", 2, "cannot have this value or size"),
        ("<<16#110000/utf8>>", 2, "cannot have this value"),
        ("<<16#D800/utf8>>", 2, "cannot have this value"),
        ("<<1:8/utf8>>", 2, "cannot have a size or a unit"),
        ("<<<<1>>>>", 2, "cannot have this value"),
        ("<<<<1>>:8/binary>>", 2, "cannot have this value or size"),
        ("<<1/unit:8>>", 2, "a unit needs a size"),
        ("<<1:2/unit:257>>", 2, "unit is not a segment type"),
        ("<<1:2/little:8>>", 2, "little is not a segment type"),
        ("<<<<1>>/bytes-bits>>", 2, "contradict"),
        ("<<1/native-little>>", 2, "contradict"),
        ("<<<<1:1>>/binary>>", 2, "cannot have this value"),
        ("<<<<1>>:9/bits>>", 2, "cannot have this value"),
        ('<<~"a">>', 2, "cannot have this value"),
        ("<<[1]>>", 2, "cannot have this value"),
        ('<<"":8/binary>>', 2, "cannot have this value"),
        ("<<1:(-8)>>", 4, "cannot be negative"),
        ("<<1:-8>>", 4, "expected a size"),
        ("--7", 1, "expected a term, found -"),
        ("-(-1)", 1, "only a number can have a sign"),
        ("-(a)", 1, "only a number can have a sign"),
        ("()", 1, "expected a term"),
        ("(1,2)", 2, "expected ), found ,"),
        ('"a""b"', 3, "put a space between two strings"),
        ('~"a" "b"', 5, "expected the end of the text"),
        ('~"a"b', 4, "a sigil has no suffix"),
        ('~x"a"', 0, "does not begin a sigil"),
        ("~!a!", 0, "does not begin a sigil"),
        ("~(a", 0, "a sigil is not closed"),
        ('"""a"""', 0, "not closed"),
        ('"""a\n"""', 0, "only white space"),
        ('"""\n a\n  """', 0, "indented less"),
        ('"\\x4"', 0, "is not a character"),
        ("'\\^{'", 0, "is not a character"),
        ("'\uffff'", 0, "is not a character"),
        ("'\udcff'", 0, "is not a character"),
        ("% \udcff", 2, "unexpected character"),
        ("\udcff", 0, "unexpected character"),
        ("16#g", 0, "a base from 2 to 36"),
        ("2#1.1#e2000", 0, "too large for a float"),
        ("[" * 513, 512, "deeper than 512"),
        ("{" * 100_000, 512, "deeper than 512"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_invalid_text_is_refused(text: str, offset: int, reason: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse_term(text)
    assert reason in str(refused.value)
    assert refused.value.offset == offset


@pytest.mark.parametrize("term", [math.inf, math.nan, {1, 2}, object(), "\ud800"], ids=repr)
def test_a_value_without_a_term_has_no_text(term: object) -> None:
    with pytest.raises(EncodeError):
        format_term([1, {1: term}])


def test_a_term_that_contains_itself_has_no_text() -> None:
    items: list[Any] = []
    items.append(items)
    with pytest.raises(EncodeError, match="contain themselves"):
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


def test_keys_too_deep_to_compare_are_still_printed() -> None:
    key: Any = 1
    for _ in range(5000):
        key = (key,)
    assert format_term({key: 1, (key,): 2}).count("=>") == 2


def seconds(work: Callable[[], object]) -> float:
    """The processor time of the faster of two runs."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def read(text: str) -> None:
    try:
        parse_term(text)
    except ParseError:
        pass


# Each makes a text of n parts; the time to read it could grow with the square of n.
LONG_TEXTS: dict[str, Callable[[int], str]] = {
    "unaligned bits": lambda n: f"<<1:1,{'1,' * n}1:7>>",
    "an unaligned string": lambda n: f'<<1:1,"{"a" * n}":7>>',
    "adjacent strings": lambda n: '"a" ' * n,
    "tails": lambda n: "[a|" * n + "[]" + "]" * n,
    "tails in parentheses": lambda n: "[a|(" * n + "[]" + ")]" * n,
    "parentheses": lambda n: "(" * n + "1" + ")" * n,
    "binaries in binaries": lambda n: "<<" * n + "1" + ">>/binary" * (n - 1) + ">>",
    "digits": lambda n: "7" * n * 10,
    "digits of base 3": lambda n: "3#" + "2" * n * 10,
    "a triple-quoted string": lambda n: '~b"""\n' + "  \\n\n" * n + '  """',
    "a string that is not closed": lambda n: '"' + "\\n" * n,
    "one key": lambda n: f"#{{{','.join(['a=>1'] * n)}}}",
    "quotes": lambda n: '"' * n,
}


@pytest.mark.parametrize("kind", LONG_TEXTS)
def test_a_text_is_read_in_time_proportional_to_its_length(kind: str) -> None:
    make = LONG_TEXTS[kind]
    short, long = make(2_000), make(16_000)
    assert seconds(lambda: read(long)) < 32 * seconds(lambda: read(short)) + 0.02  # 64: the square


def test_a_short_text_cannot_ask_for_much_memory() -> None:
    with pytest.raises(ParseError, match="at most 536870912 bits"):
        parse_term(f"<<{'0:16777216,' * 1000}0>>")
    with pytest.raises(ParseError, match="at most 536870912 bits"):
        parse_term(f'<<"{"a" * 1000}":16777216>>')


def nested_keys(depth: int, width: int) -> object:
    key: object = FrozenList(range(1000, 1000 + width))
    for _ in range(depth):
        key = freeze({key: 1, Atom("a"): 1})
    return key


LONG_TERMS: dict[str, Callable[[int], object]] = {
    "digits": lambda n: 7**n,
    "keys in keys": lambda n: nested_keys(n // 80, n * 2),
    "a list": lambda n: [Atom("a")] * n,
    "a string": lambda n: [97] * n,
}


@pytest.mark.parametrize("kind", LONG_TERMS)
def test_a_term_is_printed_in_time_proportional_to_its_size(kind: str) -> None:
    short, long = LONG_TERMS[kind](2_000), LONG_TERMS[kind](16_000)
    limit = 32 * seconds(lambda: format_term(short)) + 0.02
    assert seconds(lambda: format_term(long)) < limit
