"""Values of Elixir's standard library as Python's own, and a program's structs as its dataclasses.

Two functions to be given to the codec or to a node:

    config = Config(text=True, default=to_elixir, object_hook=from_elixir)
    node = Node("py@localhost", config=config)
    node.rpc("myapp@localhost", "Elixir.DateTime", "utc_now").result()  # a datetime

| Elixir         | Python                                                              |
|----------------|---------------------------------------------------------------------|
| DateTime       | datetime with a time zone: UTC or a ZoneInfo. One with another      |
|                | offset is sent as the same moment in UTC                            |
| NaiveDateTime  | datetime without a time zone                                        |
| Date, Time     | date, time                                                          |
| Duration       | timedelta, if it has neither years nor months                       |
| Decimal        | Decimal                                                             |
| MapSet         | set, if Python tells its elements apart; a frozenset is sent so, too|
| Range          | range                                                               |
| Regex          | re.Pattern, if Python has its options; it is sent without a         |
|                | compiled form: use Regex.compile!(regex.source, regex.opts) there   |
| URI            | Uri                                                                 |
| Version        | str; not sent back as a Version                                     |
| an exception   | ElixirError; other exceptions are sent as a RuntimeError            |
| a UUID as text | a uuid.UUID is sent as its 36 characters                            |

A struct with a part that Python cannot hold, such as a year above 9999 or a leap second, stays the
dict that it came as; so does every struct that is neither in this table nor a dataclass's. What
Python does not keep is the precision of microseconds: 6 digits are sent.

Source: the documentation of Elixir 1.18 and 1.20, Kernel and Calendar modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from uds_dist import Atom, EncodeError, Map

__all__ = [
    "ElixirError",
    "Uri",
    "atoms",
    "from_elixir",
    "from_keyword",
    "keyword",
    "struct",
    "to_elixir",
]

T = TypeVar("T")
E = TypeVar("E", bound=Enum)

STRUCT: Final = Atom("__struct__")
EXCEPTION: Final = Atom("__exception__")
UNKNOWN: Final = (
    "__elixir_unknown__"  # where an object keeps the keys that its class has no field for
)
NAME: Final = "__elixir_struct__"
AS_ATOMS: Final = "__elixir_atoms__"


class ElixirError(Exception):
    """An exception of Elixir as a value: ``%ArgumentError{}`` and its kind.

    Args:
        struct: the module, as ``Elixir.ArgumentError``.
        fields: its other fields by name.
    """

    def __init__(self, struct: str, fields: Mapping[str, object]) -> None:
        message = fields.get("message")
        shown = message.decode("utf-8", "replace") if isinstance(message, bytes) else message
        super().__init__(shown if isinstance(shown, str) else struct)
        self.struct = Atom(struct)
        self.fields = dict(fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ElixirError):
            return NotImplemented
        return (self.struct, self.fields) == (other.struct, other.fields)

    def __hash__(self) -> int:
        return hash(self.struct)

    def __reduce__(self) -> tuple[object, ...]:
        return ElixirError, (str(self.struct), self.fields)


# URI.default_port of each scheme: such a port is not written.
DEFAULT_PORTS: Final = {
    "ftp": 21, "http": 80, "https": 443, "ldap": 389, "sftp": 22, "tftp": 69, "ws": 80, "wss": 443
}  # fmt: skip


@dataclass(frozen=True)
class Uri:
    """A URI, in the parts that Elixir's has; `str` puts it together."""

    scheme: str | None = None
    userinfo: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    query: str | None = None
    fragment: str | None = None
    authority: str | None = None

    def __str__(self) -> str:
        text = f"{self.scheme}:" if self.scheme is not None else ""
        if self.host is not None:
            text += "//" + (f"{self.userinfo}@" if self.userinfo is not None else "")
            text += f"[{self.host}]" if ":" in self.host else self.host
            if self.port is not None and self.port != DEFAULT_PORTS.get(self.scheme or ""):
                text += f":{self.port}"
        text += self.path or ""
        text += f"?{self.query}" if self.query is not None else ""
        return text + (f"#{self.fragment}" if self.fragment is not None else "")


# --- a program's own types ------------------------------------------------------------------------

# Dataclasses by the struct that each is; `struct` enters them. It is of the whole process, as a
# class is, so that `from_elixir` itself can be the object_hook, with nothing to be handed to it.
_classes: dict[str, type[Any]] = {}


def struct(module: str) -> Callable[[type[T]], type[T]]:
    """Make a dataclass the struct of an Elixir module, both ways.

    A field without a default must be in the struct that comes. Keys for which the class has no
    field are kept, and go back with the object.

    Args:
        module: as Elixir has it in full, ``Elixir.MyApp.User``.
    Returns:
        A decorator, to be put above ``@dataclass``.
    Raises:
        TypeError: what is decorated is not a dataclass, or is one with slots, which cannot keep
            more keys.
    """
    name = Atom(module)

    def decorate(cls: type[T]) -> type[T]:
        if not (isinstance(cls, type) and is_dataclass(cls)):
            raise TypeError(f"{cls!r} is not a dataclass: put @struct above @dataclass")
        if not cls.__dictoffset__:
            raise TypeError(f"{cls.__name__} has slots: it needs a __dict__ for unknown keys")
        setattr(cls, NAME, name)
        _classes[name] = cls
        return cls

    return decorate


def atoms(enum: type[E]) -> type[E]:
    """Mark an Enum: `to_elixir` makes atoms of its members.

    The atom is the member's value, if that is an `Atom`, and its name otherwise.

    Args:
        enum: the Enum.
    Returns:
        The same Enum.
    Raises:
        TypeError: its members are integers or texts, which are sent as such.
    """
    if issubclass(enum, (int, str, float, bytes, tuple)):
        raise TypeError(f"the members of {enum.__name__} are values of their own: use a plain Enum")
    setattr(enum, AS_ATOMS, True)
    return enum


def _from_struct(cls: type[Any], content: Mapping[str, object]) -> object:
    known: dict[str, Field[Any]] = {item.name: item for item in fields(cls)}
    missing = [
        name
        for name, item in known.items()
        if name not in content and item.default is MISSING and item.default_factory is MISSING
    ]
    if missing:
        raise ValueError(
            f"the struct {getattr(cls, NAME)} has no {', '.join(missing)}: send it, or give the"
            f" field of {cls.__name__} a default"
        )
    given = {name: value for name, value in content.items() if name in known}
    made = cls(**{name: value for name, value in given.items() if known[name].init})
    for name, value in given.items():
        if not known[name].init:
            object.__setattr__(made, name, value)
    unknown = {name: value for name, value in content.items() if name not in known}
    if unknown:
        object.__setattr__(made, UNKNOWN, unknown)
    return made


def _to_struct(value: Any) -> object:
    names = [item.name for item in fields(value)]
    content = {name: getattr(value, name) for name in names}
    content |= getattr(value, UNKNOWN, {})
    return _struct(getattr(value, NAME), **content)


def keyword(
    items: Mapping[str, object] | Iterable[tuple[str, object]],
) -> list[tuple[Atom, object]]:
    """Make a keyword list: ``[name: value, ...]``.

    Args:
        items: names and values, in their order; a name may come more than once.
    Returns:
        The list, to be sent.
    """
    pairs = items.items() if isinstance(items, Mapping) else items
    return [(Atom(name), value) for name, value in pairs]


def from_keyword(term: object) -> dict[str, object]:
    """Read a keyword list; of a name that comes more than once the first counts, as in Elixir.

    Args:
        term: a list of pairs whose first part is an atom.
    Returns:
        The values by their names.
    Raises:
        ValueError: it is not a keyword list.
    """
    found: dict[str, object] = {}
    for pair in term if isinstance(term, list) else [None]:
        key, value = pair if isinstance(pair, tuple) and len(pair) == 2 else ("", None)
        name = _atom_name(key)
        if name is None:
            raise ValueError(
                "the term is not a keyword list: expected pairs of an atom and a value"
            )
        found.setdefault(name, value)
    return found


def _atom_name(term: object) -> str | None:
    """The text of an atom; None where the term is not one."""
    if term is None:
        return "nil"
    if isinstance(term, bool):
        return "true" if term else "false"
    return str(term) if isinstance(term, Atom) else None


# --- to Elixir ------------------------------------------------------------------------------------


def _struct(module: str, /, **content: object) -> dict[Atom, object]:
    return {STRUCT: Atom(module), **{Atom(name): value for name, value in content.items()}}


ISO: Final = Atom("Elixir.Calendar.ISO")


def to_elixir(value: object) -> object:
    """The term for a value that has none of its own: for ``default``.

    Args:
        value: see the table at the top of this module.
    Returns:
        A term; what it holds may need this function again.
    Raises:
        EncodeError: there is nothing in Elixir for it.
    """
    if NAME in vars(type(value)):
        return _to_struct(value)
    if isinstance(value, Enum) and AS_ATOMS in vars(type(value)):
        return value.value if isinstance(value.value, Atom) else Atom(value.name)
    for kind, convert in _TO_ELIXIR:
        if isinstance(value, kind):
            return convert(value)
    raise EncodeError(f"{type(value).__name__} has no value in Elixir")


def _clock(value: datetime | time) -> dict[str, object]:
    return {
        "hour": value.hour,
        "minute": value.minute,
        "second": value.second,
        "microsecond": (value.microsecond, 6),
    }


def _day(value: date) -> dict[str, object]:
    return {"year": value.year, "month": value.month, "day": value.day}


def _to_date_time(value: datetime) -> object:
    if value.tzinfo is None:
        return _struct("Elixir.NaiveDateTime", calendar=ISO, **_day(value), **_clock(value))
    offset = value.utcoffset() or timedelta()
    saving = value.dst() or timedelta()
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    if value.tzinfo is timezone.utc or zone == "UTC":
        zone = "Etc/UTC"  # the one zone that Elixir knows without a database
    if zone is None:  # an offset without a name: the same moment, in UTC
        return _to_date_time(value.astimezone(timezone.utc))
    return _struct(
        "Elixir.DateTime",
        calendar=ISO,
        **_day(value),
        **_clock(value),
        time_zone=zone,
        zone_abbr=value.tzname() or "",
        utc_offset=int((offset - saving).total_seconds()),
        std_offset=int(saving.total_seconds()),
    )


def _to_time(value: time) -> object:
    if value.tzinfo is not None:
        raise EncodeError("a time with a time zone has no value in Elixir: send a datetime")
    return _struct("Elixir.Time", calendar=ISO, **_clock(value))


def _to_duration(value: timedelta) -> object:
    return _struct(
        "Elixir.Duration",
        year=0,
        month=0,
        week=0,
        day=value.days,
        hour=0,
        minute=0,
        second=value.seconds,
        microsecond=(value.microseconds, 6),
    )


def _to_decimal(value: Decimal) -> object:
    sign, digits, exponent = value.as_tuple()
    coefficient: object
    if isinstance(exponent, int):
        coefficient = int("".join(map(str, digits)))
        power = exponent
    else:
        coefficient = Atom("inf" if exponent == "F" else "NaN")
        power = 0
    return _struct("Elixir.Decimal", sign=-1 if sign else 1, coef=coefficient, exp=power)


def _to_map_set(value: Iterable[object]) -> object:
    nothing: list[object] = []
    return _struct("Elixir.MapSet", map=Map([(item, nothing) for item in value]))


def _to_range(value: range) -> object:
    step = value.step
    return _struct(
        "Elixir.Range", first=value.start, last=value.stop - (1 if step > 0 else -1), step=step
    )


def _to_uri(value: Uri) -> object:
    return _struct("Elixir.URI", **vars(value))


def _to_regex(value: re.Pattern[str] | re.Pattern[bytes]) -> object:
    source, flags = value.pattern, value.flags
    if flags & re.LOCALE:
        raise EncodeError("a pattern with the flag LOCALE has no value in Elixir")
    options: list[object] = []
    for flag, names in _RE_OPTIONS:
        if flags & flag:
            options += names
    # The compiled form is the node's own, which only Regex.compile! makes.
    return _struct("Elixir.Regex", source=source, opts=options, re_pattern=None)


def _to_exception(value: BaseException) -> object:
    if isinstance(value, ElixirError):
        return _struct(value.struct, **value.fields) | {EXCEPTION: True}
    text = f"{type(value).__name__}: {value}"
    return _struct("Elixir.RuntimeError", message=text) | {EXCEPTION: True}


_TO_ELIXIR: Final[tuple[tuple[type | tuple[type, ...], Callable[..., object]], ...]] = (
    (datetime, _to_date_time),
    (date, lambda value: _struct("Elixir.Date", calendar=ISO, **_day(value))),
    (time, _to_time),
    (timedelta, _to_duration),
    (Decimal, _to_decimal),
    ((set, frozenset), _to_map_set),
    (range, _to_range),
    (UUID, str),
    (re.Pattern, _to_regex),
    (Uri, _to_uri),
    (BaseException, _to_exception),
)


# --- from Elixir ----------------------------------------------------------------------------------


def from_elixir(term: object) -> object:
    """The Python value of a struct: for ``object_hook``.

    Args:
        term: a map with the key ``__struct__``.
    Returns:
        The value; the map itself where there is none for it.
    Raises:
        ValueError: the struct of a dataclass lacks a field that has no default.
    """
    if not isinstance(term, (dict, Map)):
        return term
    name = term.get(STRUCT)
    if not isinstance(name, Atom):
        return term
    content = {str(key): value for key, value in term.items() if isinstance(key, Atom)}
    if len(content) != len(term):
        return term
    del content[STRUCT]
    cls = _classes.get(name)
    if cls is not None:
        return _from_struct(cls, content)
    if content.get(EXCEPTION) is True:
        return ElixirError(name, {key: content[key] for key in content if key != EXCEPTION})
    convert = _FROM_ELIXIR.get(name)
    try:
        return term if convert is None else convert(content)
    except Exception:  # a part that Python's type does not take: it says so in many ways
        return term


class _UnfitError(Exception):
    """A struct that Python has no value for."""


def _text(term: object) -> str:
    if isinstance(term, bytes):
        return term.decode("utf-8")
    if isinstance(term, str) and not isinstance(term, Atom):
        return term
    raise _UnfitError


def _text_or_none(term: object) -> str | None:
    return None if term is None else _text(term)


def _whole(term: object) -> int:
    if type(term) is not int:
        raise _UnfitError
    return term


def _fields(content: dict[str, object], *names: str) -> list[int]:
    if content.get("calendar", ISO) != ISO:
        raise _UnfitError
    return [_whole(content[name]) for name in names]


def _microsecond(content: dict[str, object]) -> int:
    match content["microsecond"]:
        case (int() as number, int()):
            return number
    raise _UnfitError


def _from_naive(content: dict[str, object]) -> datetime:
    parts = _fields(content, "year", "month", "day", "hour", "minute", "second")
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second, _microsecond(content))


def _from_date_time(content: dict[str, object]) -> datetime:
    offset = timedelta(seconds=sum(_fields(content, "utc_offset", "std_offset")))
    naive = _from_naive(content)
    zone = _zone(_text(content["time_zone"]))
    for fold in (0, 1):
        found = naive.replace(tzinfo=zone, fold=fold)
        if found.utcoffset() == offset:
            return found
    return naive.replace(tzinfo=timezone(offset))  # rules that this system does not have


def _zone(name: str) -> tzinfo:
    if name == "Etc/UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):
        return timezone.utc  # its offset is another one, then: see the caller


def _from_date(content: dict[str, object]) -> date:
    year, month, day = _fields(content, "year", "month", "day")
    return date(year, month, day)


def _from_time(content: dict[str, object]) -> time:
    hour, minute, second = _fields(content, "hour", "minute", "second")
    return time(hour, minute, second, _microsecond(content))


def _from_duration(content: dict[str, object]) -> timedelta:
    if _fields(content, "year", "month") != [0, 0]:
        raise _UnfitError
    weeks, days, hours, minutes, seconds = _fields(
        content, "week", "day", "hour", "minute", "second"
    )
    return timedelta(
        weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds,
        microseconds=_microsecond(content),
    )  # fmt: skip


def _from_decimal(content: dict[str, object]) -> Decimal:
    sign, exponent = _fields(content, "sign", "exp")
    coefficient = content["coef"]
    if isinstance(coefficient, Atom):
        return Decimal({"inf": "Infinity", "NaN": "NaN"}[coefficient]).copy_sign(Decimal(sign))
    digits = tuple(map(int, str(_whole(coefficient))))
    return Decimal((1 if sign < 0 else 0, digits, exponent))


def _from_map_set(content: dict[str, object]) -> object:
    items = content["map"]
    if not isinstance(items, dict):
        raise _UnfitError  # a Map: some of its elements are equal in Python, as 1 and 1.0 are
    return set(items)


def _from_range(content: dict[str, object]) -> range:
    first, last, step = _fields(content, "first", "last", "step")
    return range(first, last + (1 if step > 0 else -1), step)


# By the options that Elixir's modifiers i, m, s, x and u stand for; of f and U Python has none.
_RE_FLAGS: Final[dict[object, int]] = {
    "caseless": re.IGNORECASE,
    "multiline": re.MULTILINE,
    "dotall": re.DOTALL,
    (Atom("newline"), Atom("anycrlf")): 0,  # comes with dotall
    "extended": re.VERBOSE,
    "unicode": 0,
    "ucp": 0,
}
MAX_PATTERN: Final = 1000  # characters: a pattern is compiled by Python code
# A set of which each character is looked at, where case is ignored: 5 ms for 10 bytes of a peer.
_MAY_BE_WIDE: Final = re.compile(r"\[(?=.*(?:[^\0-\x7f]|\\[xuUN0-9]))", re.DOTALL)

_RE_OPTIONS: Final[tuple[tuple[int, list[object]], ...]] = (
    (re.IGNORECASE, [Atom("caseless")]),
    (re.MULTILINE, [Atom("multiline")]),
    (re.DOTALL, [Atom("dotall"), (Atom("newline"), Atom("anycrlf"))]),
    (re.VERBOSE, [Atom("extended")]),
    (re.UNICODE, [Atom("unicode"), Atom("ucp")]),
)
# What PCRE and Python both read, and read as different things; sets within sets make Python warn.
_MEANS_SOMETHING_ELSE: Final = re.compile(r"\\Z|\[[^]]*(?:\[|--|&&|~~|\|\|)")


def _from_regex(content: dict[str, object]) -> object:
    options = content["opts"]
    if not isinstance(options, list):
        raise _UnfitError
    flags = 0
    for option in options:
        flags |= _RE_FLAGS[option]
    source = _text(content["source"])
    if len(source) > MAX_PATTERN or _MEANS_SOMETHING_ELSE.search(source):
        raise _UnfitError
    if flags & re.IGNORECASE and _MAY_BE_WIDE.search(source):
        raise _UnfitError
    if "unicode" not in options:
        flags |= re.ASCII
    return re.compile(source, flags)


def _from_uri(content: dict[str, object]) -> Uri:
    texts = {
        name: _text_or_none(content.get(name))
        for name in ("scheme", "userinfo", "host", "path", "query", "fragment", "authority")
    }
    port = content.get("port")
    return Uri(**texts, port=None if port is None else _whole(port))


def _from_version(content: dict[str, object]) -> str:
    text = ".".join(map(str, _fields(content, "major", "minor", "patch")))
    before = content["pre"]
    if not isinstance(before, list):
        raise _UnfitError
    if before:
        text += "-" + ".".join(str(x) if type(x) is int else _text(x) for x in before)
    build = _text_or_none(content["build"])
    return text if build is None else f"{text}+{build}"


_FROM_ELIXIR: Final[dict[str, Callable[[dict[str, object]], object]]] = {
    "Elixir.DateTime": _from_date_time,
    "Elixir.NaiveDateTime": _from_naive,
    "Elixir.Date": _from_date,
    "Elixir.Time": _from_time,
    "Elixir.Duration": _from_duration,
    "Elixir.Decimal": _from_decimal,
    "Elixir.MapSet": _from_map_set,
    "Elixir.Range": _from_range,
    "Elixir.Regex": _from_regex,
    "Elixir.URI": _from_uri,
    "Elixir.Version": _from_version,
}
