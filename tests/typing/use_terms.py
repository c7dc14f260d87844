"""Makes and takes apart terms as a program does; mypy is the test."""

from __future__ import annotations

from typing_extensions import assert_type

from uds_dist import (
    Atom,
    BitString,
    Export,
    FrozenList,
    ImproperList,
    Map,
    Pid,
    Port,
    Record,
    Reference,
    decode,
    encode,
    format_term,
    parse_term,
)


def made(pid: Pid, port: Port, reference: Reference) -> None:
    assert_type(Atom("ok"), Atom)
    assert_type(pid.node, Atom)
    assert_type(pid.serial, int)
    assert_type(port.id, int)
    assert_type(reference.ids, tuple[int, ...])
    assert_type(ImproperList([1, 2], 3).tail, object)
    assert_type(BitString(b"\xa0", 3).bits, int)
    assert_type(Export(Atom("lists"), Atom("map"), 2).arity, int)
    assert_type(Record(Atom("m"), Atom("r"), ((Atom("f"), 1),)).get("f"), object)
    assert_type(Map([(1, "a"), (1.0, "b")])[1], object)
    assert_type(len(FrozenList([1])), int)
    name: str = Atom("an atom is a str")
    print(name, {pid: 1, port: 2, reference: 3})


def converted(data: bytes) -> None:
    assert_type(encode({Atom("a"): [1, 2.0, "text", b"bytes", None]}), bytes)
    assert_type(encode(0, compressed=6), bytes)
    assert_type(decode(data), object)
    assert_type(decode(memoryview(data), max_depth=10, max_size=100), object)
    assert_type(format_term((1, 2)), str)
    assert_type(parse_term("{ok, 1}"), object)


def taken_apart(term: object) -> str:
    match term:
        case Pid(node=node):
            return node
        case Reference(ids=ids):
            return str(sum(ids))
        case ImproperList((first, *_), _):
            return str(first)
        case ("$gen_call", (Pid() as caller, tag), request):
            return f"{caller} {tag} {request}"
        case Atom():
            return term.upper()
        case Map(pairs):
            return str(len(pairs))
    return ""


def mistakes(pid: Pid, term: object) -> None:
    pid.id = 2  # type: ignore[misc]
    Pid("a@b", 1, 2)  # type: ignore[call-arg]
    Atom(b"ok")  # type: ignore[arg-type]
    encode(1, 6)  # type: ignore[call-arg]
    decode("text")  # type: ignore[arg-type]
    term.node  # type: ignore[attr-defined]  # a term is narrowed before it is used
    Reference("a@b", 1, [1])  # type: ignore[arg-type]
