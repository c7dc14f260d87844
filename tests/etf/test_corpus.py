"""The corpora of tests/corpus: terms that real BEAM nodes wrote, and bytes that are not terms.

tests/corpus/make_corpus.erl and make_invalid.py describe the files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from uds_dist.errors import DecodeError
from uds_dist.etf.decode import decode, decode_term
from uds_dist.etf.encode import encode, encode_parts
from uds_dist.etf.maps import make_map
from uds_dist.etf.terms import (
    Atom,
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

CORPUS = Path(__file__).resolve().parent.parent / "corpus"
VALID = sorted(CORPUS.glob("valid/*/*.etf"))
INVALID = (CORPUS / "invalid" / "index.txt").read_text().splitlines()
LIMITS = (512, 1 << 20)



def each(paths: list[Path]) -> pytest.MarkDecorator:
    names = [f"{path.parent.name}-{path.stem}" for path in paths]
    return pytest.mark.parametrize("path", paths, ids=names)


valid = each(VALID)
# The end of a local term is unknown, and no node sends one to another.
sendable = each([path for path in VALID if not path.stem.startswith("local_")])
printed = each([path for path in VALID if path.with_suffix(".txt").exists()])


def meaning(path: Path) -> object:
    """The term according to the node that wrote it."""
    text = path.with_suffix(".txt")
    if text.exists():
        return parse_term(text.read_text(encoding="utf-8"))
    return of_shape(parse_term(path.with_suffix(".shape").read_text(encoding="utf-8")), path)


def of_shape(term: object, path: Path) -> object:
    """The term, with the identifiers, funs and records that its tuples describe."""
    if isinstance(term, (list, FrozenList)):
        return [of_shape(item, path) for item in term]
    if isinstance(term, ImproperList):
        items = [of_shape(item, path) for item in term.items]
        return ImproperList(items, of_shape(term.tail, path))
    if isinstance(term, (dict, Map)):
        keys = [of_shape(key, path) for key in term.keys()]
        return make_map(keys, [of_shape(value, path) for value in term.values()])
    if not isinstance(term, tuple):
        return term
    match tuple([of_shape(item, path) for item in term]):
        case ("$pid", str(node), int(id), int(serial), int(creation)):
            return Pid(node, id, serial, creation)
        case ("$port", str(node), int(id), int(creation)):
            return Port(node, id, creation)
        case ("$ref", str(node), int(creation), list(ids)):
            return Reference(node, creation, tuple(ids))
        case ("$fun", str(module), arity, int(index), bytes(uniq), int(old), int(old_uniq),
              Pid() as pid, list(free)):  # fmt: skip
            assert arity is None or isinstance(arity, int)
            return Fun(Atom(module), arity, index, uniq, old, old_uniq, pid, tuple(free))
        case ("$record", str(module), str() | bool() | None as name, bool(exported), list(fields)):
            named = tuple([(as_name(field), value) for field, value in fields])
            return Record(Atom(module), as_name(name), named, exported=exported)
        case ("$local", int(size)):
            return LocalTerm(path.read_bytes()[-size:])
        case other:
            return other


def as_name(term: object) -> Atom:
    return Atom(format_term(term)) if not isinstance(term, Atom) else term


def test_the_corpus_exists() -> None:
    assert len(VALID) > 200
    assert len(INVALID) > 100
    assert {path.parent.name for path in VALID} == {"otp27", "otp29"}


@valid
def test_a_term_decodes_as_its_node_describes_it(path: Path) -> None:
    term = decode(path.read_bytes())
    expected = meaning(path)
    # Compared as in Erlang: 1 is neither 1.0 nor True.
    assert exact_key(term) == exact_key(expected)
    assert type(term) is type(expected)


@valid
def test_a_term_encodes_to_the_bytes_it_came_in(path: Path) -> None:
    data = path.read_bytes()
    again = encode(decode(data))
    if path.stem.startswith(("old_", "packed_")):
        assert exact_key(decode(again)) == exact_key(decode(data))
    else:
        assert again == data


@sendable
def test_a_term_passes_with_its_atoms_in_a_header(path: Path) -> None:
    term = decode(path.read_bytes())
    atoms: dict[str, int] = {}
    data = b"".join(encode_parts(term, atoms))
    values = {"true": True, "false": False, "nil": None}
    header = tuple([values.get(atom, atom) for atom in atoms])
    again, end = decode_term(data, 0, header, *LIMITS)
    assert end == len(data)
    assert exact_key(again) == exact_key(term)
    assert encode(again) == encode(term)


@printed
def test_the_text_of_a_term_is_the_output_of_its_node(path: Path) -> None:
    text = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert format_term(decode(path.read_bytes())) + "\n" == text


@sendable
def test_every_truncation_is_refused(path: Path) -> None:
    data = path.read_bytes()
    # For longer terms, the first and the last 100 offsets.
    ends = [end for end in range(1, len(data)) if end < 100 or end > len(data) - 100]
    for end in ends:
        with pytest.raises(DecodeError) as refused:
            decode(data[:end])
        assert 0 <= refused.value.offset <= end
        assert refused.value.tag is not None or end == 1


@sendable
def test_bytes_after_a_term_are_refused(path: Path) -> None:
    data = path.read_bytes()
    with pytest.raises(DecodeError, match="after the term") as refused:
        decode(data + b"j")
    assert refused.value.offset == len(data)
    assert decode_term(data + b"j", 1, (), *LIMITS)[1] == len(data)


@pytest.mark.parametrize("line", INVALID, ids=lambda line: line.split()[0])
def test_invalid_terms_are_refused(line: str) -> None:
    name, offset, tag, reason = line.split(" ", 3)
    with pytest.raises(DecodeError, match=reason) as refused:
        decode((CORPUS / "invalid" / f"{name}.etf").read_bytes())
    assert refused.value.offset == int(offset)
    assert refused.value.tag == (None if tag == "-" else int(tag))


def test_every_invalid_file_is_in_the_index() -> None:
    named = {line.split()[0] for line in INVALID}
    assert {path.stem for path in CORPUS.glob("invalid/*.etf")} == named
