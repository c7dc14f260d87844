"""Texts of terms, right and wrong, for real nodes and for `parse_term`."""

from __future__ import annotations

import random
from collections.abc import Callable

# One text between two bars; the end of a line is also a bar.
EDGES = r"""1¦1.¦1 .¦1.%x¦1..¦1. .¦1.a¦a.b¦.1¦.¦- 1¦-1¦+1¦--1¦- -1¦-+1¦-(1)¦-(-1)¦+(+1)¦-((1))¦(-1)¦((-(1)))¦-a¦+a¦-"a"¦-[]¦-$a¦+$a
-(a)¦(1)¦(((a)))¦()¦(¦)¦(1¦1)¦(1,2)¦{(a),(1)}¦[(a)|(b)]¦fun (m):f/1¦(fun m:f/1)¦1_000¦1__0¦1_¦_1¦1_a¦1a¦1e3¦1.0e3¦1.0E3
1.0e+3¦1.0e-3¦1.0e¦1.0e+¦1.0e1_0¦1.0e1__0¦1_0.2_5¦1_.5¦1._5¦1.5_¦1.0e-400¦-1.0e-400¦1.0e400¦0.0¦-0.0¦+0.0¦-(0.0)¦00.5¦007
5.0e-324¦2.0e-324¦1.7976931348623157e308¦1.7976931348623159e308¦123456789012345678901234567890¦-123456789012345678901234567890
2#101¦2#102¦16#fF¦16#f_f¦16#f__f¦16#_f¦16#f_¦16#¦16#g¦16#-f¦-16#f¦1#0¦0#0¦37#0¦36#zZ¦1_6#ff¦16#ff.¦16#f f¦3#12¦10#99¦10#9a
16#f.8¦16#f.8#e2¦16#f.8#e-2¦16#f.8#e+2¦16#f.8#E2¦16#f.8#¦16#f.8#e¦16#f.8e2¦10#1.5#e3¦10#1.e5¦10#1.5e3¦2#1.1#e2000¦2#0.1#e-3000
16#0.0¦36#z.z¦3#0.1¦2#1_0.0_1¦16#f.8_¦16#f._8¦8#7.8¦2#101.101#e1_0¦16#fefe.fefe#e16¦10#0.1¦-16#f.8¦2#.1¦10#.5¦16#.¦16#.f#e1¦2#._1
ok¦'ok'¦''¦'a b'¦'a''b'¦'a'b¦a'b'¦'a\'b'¦'\n'¦'\^a'¦'\^?'¦'\^\'¦'\^\''¦'\101'¦'\x41'¦'\x{41}'¦'\x4'¦'\x{}'¦'\x{110000}'¦'\x{d800}'
'\x{fffe}'¦'\x{10ffff}'¦'\8'¦'\777'¦'\1'¦'\12'¦'\q'¦'a¦Foo¦_¦_foo¦if¦else¦maybe¦'if'¦fun¦nil¦true¦'true'¦aB_@1¦a@b¦@a¦éa¦a÷b¦×
Éa¦жук¦'жук'¦ßa¦aÀ¦ªa¦µa
$a¦$ ¦$\n¦$\\¦$\s¦$'¦$"¦$$¦$%¦$,¦$.¦$\x41¦$\x{1F600}¦$\x{41¦$\x4¦$\x¦$\^a¦$\^?¦$\^[¦$\^{¦$\^¦$\101¦$\18¦$\8¦$\e¦$\d¦$é¦$жaa¦$ж¦$¦$ a
$\x{d800}¦$\x{ffff}¦$\777¦{$a,$b}¦[$a|$b]¦$ab¦$a$b¦$a.
""¦"a"¦"a" "b"¦"a""b"¦"a"'b'¦"a" 'b'¦("a") "b"¦"a" ("b")¦"a¦"\"¦"\""¦"\\"¦"\\\"¦"\^""¦"\^\"¦"\^\\"¦"\x{41}"¦"\x{"¦"\x{}"¦"\x4"¦"\x41"
"жук"¦"\x{436}"¦"a\¦"é"¦"\377"¦"\400"¦"a" % b¦"a" "b" "c"¦"\s\d\e\v\f\b"¦["a"¦"b"]¦["a","b"|c]¦"a".¦"".¦" "
~"a"¦~b"a"¦~B"a"¦~s"a"¦~S"a"¦~"é"¦~s"é"¦~B"\n"¦~b"\n"¦~"\n"¦~S"\n"¦~s"\n"¦~x"a"¦~bb"a"¦~ "a"¦~b "a"¦~"a"b¦~"a" b¦~"a""b"¦~"a" "b"
~s"a" "b"¦"a" ~s"b"¦~s"a" ~s"b"¦~(a)¦~[a]¦~{a}¦~<a>¦~/a/¦~¦~'a'¦~`a`¦~#a#¦~"a¦~(a¦~)a(¦~!a!¦~s(a\)b)¦~S(a\)b)¦~S(a\)¦~s[a[b]c]
~b{\x{41}}¦~s{\x{41}¦~b<\>>¦~"\""¦~B"\"¦~B"\""¦~s'a"b'¦~s#a\#b#¦~`\``¦~/\//¦[~s"a"|b]¦~s"a"/¦~b/a/1¦~_"a"¦~s"\^""¦~"\x{d800}"¦~""¦~s""
[]¦[a]¦[a,b]¦[a,]¦[,a]¦[a b]¦[a|b]¦[a|[b]]¦[a|[b|c]]¦[a|b,c]¦[a|b|c]¦[a,b|[c,d|[e]]]¦[a|[]]¦[a|[]|b]¦[|a]¦[a|]¦[a||b]¦[a| |b]
[a|([b])]¦[a|(([b|(c)]))]¦[a|([])]¦[a|([b]]¦[a|[b])]¦[a|(b)]¦[a|(b]¦[a|-1]¦[a|-(1)]¦[a|{}]¦[a|"x"]¦["x"|"y"]¦[a|[b],c]¦[a|~s"x"]¦[[[]]]
{}¦{a}¦{a,b}¦{a,}¦{,}¦{a|b}¦{a;b}¦{{},[]}¦#{}¦# {}¦#{a=>1}¦#{a=>1,}¦#{a=>1,b=>2}¦#{a:=1}¦#{a}¦#{a=>}¦#{=>1}¦#{a=>1,a=>2}¦#{1=>a,1.0=>b}
#{[]=>{}}¦#{#{}=>#{}}¦#{a=>1 b=>2}¦#{"k"=>v}¦#{(a)=>(1)}¦#{a=>-1}¦#{a=>1}#{b=>2}¦#{0.0=>a,-0.0=>b}¦#a{}¦#m:r{}¦#_{}¦#¦#{¦#}¦#{a=><<1>>}¦#{1=>a,2=>b,1=>c}
fun m:f/1¦fun 'm':'f'/1¦fun m : f / 1¦fun m:f/256¦fun m:f/255¦fun m:f/0¦fun m:f/16#f¦fun m:f/$a¦fun m:f/(1)¦fun m:f/-1¦fun m:f¦fun f/1¦fun M:f/1
fun m:f/1.0¦fun if:f/1¦fun() -> 1 end¦fun true:nil/0¦[fun a:b/1]¦{fun a:b/1}¦fun m:f/1_0
<<>>¦<< >>¦<<1>>¦<<1,2>>¦<<1,>>¦<<,>>¦<<1¦<<1>¦<1>>¦<<256>>¦<<-1>>¦<<(-1)>>¦<<-(1)>>¦<<- -1>>¦<<-(-1)>>¦<<$a>>¦<<-$a>>¦<<a>>¦<<'a'>>¦<<[]>>¦<<[1]>>¦<<{}>>
<<1.0>>¦<<1.0/float>>¦<<1/float>>¦<<1:32/float>>¦<<1.0:16/float>>¦<<1.0:8/float>>¦<<1.0:0/float>>¦<<1.0:1/float-unit:64>>¦<<1.0:2/float-unit:16>>
<<65520.0:16/float>>¦<<-65520.0:16/float>>¦<<65519.0:16/float>>¦<<1.0e300:32/float>>¦<<1.0e39:16/float>>¦<<1.0e300:16/float>>¦<<-0.0:16/float>>
<<100000000000000000000000000000000000000000:16/float>>¦<<1.0e-300:16/float>>¦<<1.0e-300:32/float>>¦<<3.5e38:32/float>>¦<<3.4e38:32/float>>
<<1:1>>¦<<1:7,1:1>>¦<<1:0>>¦<<1:16>>¦<<1:16/little>>¦<<1:16/native>>¦<<1:16/big>>¦<<16#ABC:12>>¦<<16#ABC:12/little>>¦<<16#ABCDE:20/native>>¦<<5:3,1:4>>
<<1:(8)>>¦<<1:((8))>>¦<<1:(+8)>>¦<<1:(-8)>>¦<<1:(-0)>>¦<<1:+8>>¦<<1:-8>>¦<<1:(+(8))>>¦<<1:(+(+8))>>¦<<1:$\b>>¦<<1:16#8>>¦<<1:a>>¦<<1:"a">>¦<<1:8.0>>¦<<1:<<8>>>>
<<1:1_6>>¦<<1:>>¦<<1:8:8>>¦<<1/integer>>¦<<1/'integer'>>¦<<1/foo>>¦<<1/Integer>>¦<<1/if>>¦<<1/unit:8>>¦<<1/integer-unit:1>>¦<<1:2/unit:8>>¦<<1:2/unit:0>>
<<1:1/unit:256>>¦<<1:1/unit:257>>¦<<1:2/unit>>¦<<1:2/unit:(8)>>¦<<1:2/unit:$a>>¦<<1:2/unit:8-unit:8>>¦<<1:2/unit:8-unit:4>>¦<<1/little:8>>¦<<1/integer:8>>
<<1/big-little>>¦<<1/native-little>>¦<<1/native-native>>¦<<1/signed-unsigned>>¦<<1/signed-signed>>¦<<1/integer-integer>>¦<<1/integer-float>>¦<<1/integer->>¦<<1/-integer>>
<<1/>>¦<<1//integer>>¦<<1/signed-little-integer>>¦<<1/integer,2/little>>¦<<1:8-integer>>¦<<1:2/integer-unit:4-signed-big>>
<<"a">>¦<<"">>¦<<"é">>¦<<"ж">>¦<<"a" "b">>¦<<("abc")>>¦<<"abc":16>>¦<<"abc":4>>¦<<"abc":0>>¦<<"ab"/little>>¦<<"ab":16/little>>¦<<"ab"/utf8>>¦<<"ж"/utf8>>
<<"ж"/utf16>>¦<<"ж"/utf16-little>>¦<<"ж"/utf32>>¦<<"ж"/utf32-native>>¦<<"ж😀"/utf16>>¦<<"ab"/float>>¦<<"ab":32/float>>¦<<"":13/float>>¦<<"":8/binary>>¦<<""/utf8>>¦<<"":8/utf8>>
<<"ab"/binary>>¦<<""/binary>>¦<<"ab"/bits>>¦<<""/float>>¦<<"":0/float>>¦<<-"a">>¦<<"abc"/unit:8>>¦<<"abc":1/unit:8>>
<<16#10FFFF/utf8>>¦<<16#110000/utf8>>¦<<16#D800/utf8>>¦<<16#FFFE/utf8>>¦<<-1/utf8>>¦<<1:8/utf8>>¦<<1/utf8-unit:8>>¦<<1/utf8-signed>>¦<<1/utf8-little>>¦<<1.0/utf8>>
<<16#D800/utf16>>¦<<16#D800/utf32>>¦<<16#10000/utf16>>
<<<<1>>/binary>>¦<<<<1>>>>¦<<<<1>>:8>>¦<<<<1>>/bytes>>¦<<<<1:1>>/binary>>¦<<<<1:1>>/bits>>¦<<<<1:1>>/bitstring,1:7>>¦<<<<"abc">>:2/binary>>¦<<(<<"abc">>):2/binary>>
<<<<"abc">>:4/binary>>¦<<<<"abc">>:3/bits>>¦<<<<"abc">>:17/bits>>¦<<<<"abc">>:2/binary-unit:4>>¦<<<<"abc">>/binary-unit:24>>¦<<<<"abc">>/binary-unit:16>>
<<<<"abc">>/binary-unit:7>>¦<<<<1:7>>/binary-unit:7>>¦<<<<"abc">>/bytes-unit:8>>¦<<<<"abc">>/bytes-bits>>¦<<<<"abc">>/binary-bytes>>¦<<<<"abc">>/binary-bits>>
<<<<"abc">>:0/binary>>¦<<<<"a">>/binary-little>>¦<<<<"a">>/binary-signed>>¦<<<<"a">>/integer>>¦<<<<"a">>/float>>¦<<<<"a">>/utf8>>¦<<<<<<1>>/binary>>/binary,2>>
<<~"a">>¦<<~"a"/binary>>¦<<~s"a">>¦<<~s"a" "b">>¦<<~b"a"/utf8>>¦<<~s"é"/utf8>>¦<<~B"abc":1/binary>>¦<<1:8,<<2:4>>/bits,3:4>>¦<<(fun m:f/1)>>¦<<#{}>>
<<0:3,<<"abc">>/binary>>¦<<1:3,"abc",7:5>>¦<<1:3,"abc":3,7:4>>¦<<1:64/signed-little>>¦<<-129:8/signed>>¦<<1:99999999999999999999>>
1,2¦1;2¦1 2¦a b¦a(b)¦a:b¦a+b¦1+1¦"a"++"b"¦[1]--[1]¦not a¦catch 1¦begin 1 end¦1 = 1¦a!b¦#r.f¦<0.1.0>¦#Ref<0.1>¦#Port<0.1>¦#Fun<a>¦?M¦&¦a;¦a,¦^¦\¦*¦!¦;¦:¦::¦..¦...
%¦% 1¦1 % 2¦%é
"""  # fmt: skip

# Texts with line ends.
MORE = [
    "",
    " ",
    "1\n",
    "\t1\r\n",
    "\x7f1",
    "\x801\xa0",
    "\x001",
    "1 % \ufffe",
    '"\ufffe"',
    "'\uffff'",
    "\ufeff1",
    "% only a comment",
    "% a comment\n1 % another",
    '"a"\n"b"',
    '"a\nb"',
    '"a\\\nb"',
    "'a\nb'",
    "$\n",
    "$\\\n",
    "~|a|",
    "~s|a\\|b|",
    "~S|a\\|b|",
    "~s|\\^||",
    "~b(a\nb)",
    '"""\na\n"""',
    '"""\n  a\n  """',
    '"""\n  a\n   b\n  """',
    '"""\n  a\n b\n  """',
    '"""\n  a\n\n  b\n  """',
    '"""\n  a\n \n  b\n  """',
    '"""\n\ta\n\t"""',
    '"""\n\ta\n  """',
    '"""\n"""',
    '"""\n\n"""',
    '"""\n\n\n"""',
    '"""\r\n  a\r\n  """',
    '"""\r\n  a\r\n\r\n  b\r\n  """',
    '"""\r\n\r\n"""',
    '""" \t\n a\n """',
    '""" a\n a\n """',
    '"""a"""',
    '"""a\n"""',
    '"""',
    '""""""',
    '"""\n',
    '"""\na"""',
    '"""\na\n""',
    '"""\na\n""""',
    '"""\na\n""" ',
    '"""\na\n""" "b"',
    '"b" """\na\n"""',
    '"""\na\n"""b',
    '"""\na\n""" """\nb\n"""',
    '"""\na\n""""b"',
    '""""\n"""\n""""',
    '""""\n""""',
    '"""""\n""""\n"""\n"""""',
    '"""\n""\n"""',
    '"""\n"" """\n"""',
    '"""\n "" \n """',
    '"""\n\\n\n"""',
    '~"""\n\\n\n"""',
    '~b"""\n\\n\n"""',
    '~s"""\n\\n\n"""',
    '~B"""\n\\n\n"""',
    '~S"""\n\\n\n"""',
    '~x"""\na\n"""',
    '~s"""\n  a\\\n  b\n  """',
    '~s"""\n  a\\\nb\n  """',
    '~s"""\n  a\\\n"""',
    '~s"""\n \\sa\n  """',
    '~s"""\n\\s a\n  """',
    '~s"""\\s\n  a\n  """',
    '~s"""\\n\n  a\n  """',
    '~s"""\\\n  a\n  """',
    '~s"""\\x41\n  a\n  """',
    '~s"""\n\\na\n  """',
    '~s"""\n\\"""\n"""',
    '~s"""\n\\x{41}\\^a\\101\n"""',
    '~s"""\n\\x{4\n1}\n"""',
    '~s"""\n\\^\n"""',
    '~s"""\n\\^\\\n"""',
    '~s"""\n\\\r\n"""',
    '~b"""\n  é\n  """',
    '"""\n  é\n\xa0 b\n  """',
    '"""\n\x01a\n\x01"""',
    '"""\n  a\n  \\"""\n  """',
    '<<"""\n a\n """>>',
    '<<"""\n a\n """/utf8>>',
    '<<~b"""\n a\n """/binary>>',
    '{"""\n a\n """,~s"b"}',
    '"""\n \ufffe\n """',
    "[a\n|\nb]",
    "{a\n,b}.\n",
    "1.\n\n% end\n",
    "1.\n2.",
    "9" * 500,
    "16#" + "f" * 500,
    "3#" + "12" * 300,
    "'" + "a" * 255 + "'",
    "'" + "a" * 256 + "'",
    "a" * 255,
    "a" * 256,
    "~" + "a" * 300 + '"b"',
    "[" * 500 + "]" * 500,
    "[a|" * 600 + "[]" + "]" * 600,
    "(" * 600 + "a" + ")" * 600,
    "<<" * 50 + "1" + ">>/binary" * 49 + ">>",
    "0." + "3" * 400,
    "1" * 308 + ".0",
    "1" * 400 + ".0",
    "1.0e0000000000000000000000000001",
]


def texts(seed: int, generated: int) -> list[str]:
    """The hand-written texts and this many generated ones, the same ones for the same seed."""
    chance = random.Random(seed)
    made = [_term(chance, 4) for _ in range(generated)]
    edges = EDGES.replace("\n", "¦").split("¦")
    return [*edges, *MORE, *[_changed(chance, text) for text in made]]


Made = Callable[[random.Random, int], str]

_WORDS = ["a", "ok", "'A b'", "nil", "true", "'\\x{436}'", "é", "if", "Foo", "''", "x@y", "'\\''"]
_SPACES = ["", "", "", " ", "\n", " % c\n", "\t"]
_CHARACTERS = "abé \\\"'{}[]()<>|,:/-+#$~.%_@1eExж=\n"


def _term(chance: random.Random, depth: int) -> str:
    kinds: list[Made] = [_atom, _integer, _float, _character, _string, _sigil, _export]
    if depth:
        kinds += [_list, _tuple, _map, _binary, _binary, _parentheses]
    return chance.choice(_SPACES) + chance.choice(kinds)(chance, depth - 1) + chance.choice(_SPACES)


def _terms(chance: random.Random, depth: int) -> str:
    return ",".join([_term(chance, depth) for _ in range(chance.randrange(4))])


def _atom(chance: random.Random, _depth: int) -> str:
    return chance.choice(_WORDS)


def _integer(chance: random.Random, _depth: int) -> str:
    sign = chance.choice(["", "", "", "-", "+", "- "])
    base = chance.choice([0, 0, 0, 2, 8, 16, 36, 1])
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABC"[: base or 10]
    number = "".join(chance.choices(digits or "0", k=chance.choice([1, 2, 3, 30])))
    number = number[:1] + chance.choice(["", "", "_"]) + number[1:]
    return f"{sign}{base}#{number}" if base else sign + number


def _float(chance: random.Random, _depth: int) -> str:
    exponent = chance.choice(["", "", "e5", "E-3", "e+10", "e-320", "e308", "e"])
    sign = chance.choice(["", "-"])
    return f"{sign}{chance.randrange(1000)}.{chance.randrange(10**6)}{exponent}"


def _character(chance: random.Random, _depth: int) -> str:
    return "$" + chance.choice(["a", "\\n", " ", "\\x41", "\\x{436}", "\\^z", "\\0", "é", "\\", "'"])


def _body(chance: random.Random) -> str:
    parts = ["a", "bc", "é", "ж", " ", "\\n", "\\x41", "\\x{1F600}", "\\101", "\\\\", "\\^a", "\n"]
    parts += ["\\\"", "'", "{", ")", "\\x", "#", "%"]
    weights = [6] * 11 + [1] * 8
    return "".join(chance.choices(parts, weights, k=chance.randrange(5)))


def _string(chance: random.Random, _depth: int) -> str:
    many = chance.choice([1, 1, 1, 2])
    return chance.choice([" ", "\n", " "]).join([f'"{_body(chance)}"' for _ in range(many)])


def _sigil(chance: random.Random, _depth: int) -> str:
    kind = chance.choice(["", "b", "B", "s", "S", "s", "b", "q"])
    if chance.random() < 0.3:
        quotes = '"' * chance.choice([3, 3, 4])
        indentation = chance.choice(["", "  ", "\t"])
        lines = [f"{indentation}{_body(chance)}" for _ in range(chance.randrange(3))]
        return "\n".join([f"{chance.choice([f'~{kind}', ''])}{quotes}", *lines, indentation + quotes])
    opening = chance.choice("([{</|'\"`#")
    closing = {"(": ")", "[": "]", "{": "}", "<": ">"}.get(opening, opening)
    return f"~{kind}{opening}{_body(chance)}{closing}"


def _export(chance: random.Random, _depth: int) -> str:
    return f"fun {chance.choice(_WORDS)}:{chance.choice(_WORDS)}/{chance.choice(['0', '3', '255', '300'])}"


def _list(chance: random.Random, depth: int) -> str:
    tail = chance.choice(["", "", "|" + _term(chance, depth), "|[" + _terms(chance, depth) + "]"])
    return f"[{_terms(chance, depth)}{tail}]"


def _tuple(chance: random.Random, depth: int) -> str:
    return "{" + _terms(chance, depth) + "}"


def _map(chance: random.Random, depth: int) -> str:
    count = chance.randrange(4)
    pairs = [f"{_term(chance, depth)}=>{_term(chance, depth)}" for _ in range(count)]
    return "#{" + ",".join(pairs) + "}"


def _parentheses(chance: random.Random, depth: int) -> str:
    return chance.choice(["", "", "-"]) + f"({_term(chance, depth)})"


def _binary(chance: random.Random, depth: int) -> str:
    return "<<" + ",".join([_segment(chance, depth) for _ in range(chance.randrange(4))]) + ">>"


def _segment(chance: random.Random, depth: int) -> str:
    kinds: list[Made] = [_integer, _integer, _string, _float, _character, _sigil]
    value = chance.choice([*kinds, _binary] if depth > 0 else kinds)(chance, depth - 1)
    if value.startswith(("<<", "~")) and chance.random() < 0.7:
        return value + chance.choice(["", "", ":1"]) + "/" + chance.choice(["binary", "bits", "bytes"])
    if "." in value and chance.random() < 0.7:
        return value + chance.choice(["/float", ":32/float-little", ":64/float"])
    size = chance.choice(["", "", "", ":4", ":16", ":13", ":0", ":(8)"])
    words = ["integer", "signed", "unsigned", "little", "big", "native", "unit:8", "utf8", "utf16"]
    count = chance.choice([0, 0, 1, 1, 2])
    return value + size + ("/" + "-".join(chance.sample(words, count)) if count else "")


def _changed(chance: random.Random, text: str) -> str:
    """The text, or in one of three cases a similar one."""
    if not text or chance.random() < 0.67:
        return text
    at = chance.randrange(len(text))
    put_in = chance.choice(["", chance.choice(_CHARACTERS)])
    return text[:at] + put_in + text[at + chance.randrange(2) :]
