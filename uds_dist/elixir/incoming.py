"""From Elixir: Python values for the structs of its standard library and of the program."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from uds_dist import Atom, Map
from uds_dist.elixir.regexes import regex_from
from uds_dist.elixir.structs import classes, from_struct
from uds_dist.elixir.values import EXCEPTION, ISO, ElixirError, UnfitError, Uri, text_of
from uds_dist.etf.conversion import STRUCT


def from_elixir(term: object) -> object:
    """The Python value of a struct; pass this function as ``object_hook``.

    Args:
        term: a map with the key ``__struct__``.
    Returns:
        The value, or the map itself if there is none.
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
    cls = classes.get(name)
    if cls is not None:
        return from_struct(cls, content)
    if content.get(EXCEPTION) is True:
        return ElixirError(name, {key: content[key] for key in content if key != EXCEPTION})
    convert = _FROM_ELIXIR.get(name)
    try:
        return term if convert is None else convert(content)
    except Exception:  # Python's type refuses a part: the exception depends on the type
        return term


def _text_or_none(term: object) -> str | None:
    return None if term is None else text_of(term)


def _whole(term: object) -> int:
    if type(term) is not int:
        raise UnfitError
    return term


def _fields(content: dict[str, object], *names: str) -> list[int]:
    if content.get("calendar", ISO) != ISO:
        raise UnfitError
    return [_whole(content[name]) for name in names]


def _microsecond(content: dict[str, object]) -> int:
    match content["microsecond"]:
        case (int() as number, int()):
            return number
    raise UnfitError


def _from_naive(content: dict[str, object]) -> datetime:
    parts = _fields(content, "year", "month", "day", "hour", "minute", "second")
    year, month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second, _microsecond(content))


def _from_date_time(content: dict[str, object]) -> datetime:
    offset = timedelta(seconds=sum(_fields(content, "utc_offset", "std_offset")))
    naive = _from_naive(content)
    zone = _zone(text_of(content["time_zone"]))
    for fold in (0, 1):
        found = naive.replace(tzinfo=zone, fold=fold)
        if found.utcoffset() == offset:
            return found
    return naive.replace(tzinfo=timezone(offset))  # this system has no rules for the zone


def _zone(name: str) -> tzinfo:
    if name == "Etc/UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):
        return timezone.utc  # the caller then finds that the offset differs


def _from_date(content: dict[str, object]) -> date:
    year, month, day = _fields(content, "year", "month", "day")
    return date(year, month, day)


def _from_time(content: dict[str, object]) -> time:
    hour, minute, second = _fields(content, "hour", "minute", "second")
    return time(hour, minute, second, _microsecond(content))


def _from_duration(content: dict[str, object]) -> timedelta:
    if _fields(content, "year", "month") != [0, 0]:
        raise UnfitError
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
        raise UnfitError  # a Map: some of its elements are equal in Python, as 1 and 1.0 are
    return set(items)


def _from_range(content: dict[str, object]) -> range:
    first, last, step = _fields(content, "first", "last", "step")
    return range(first, last + (1 if step > 0 else -1), step)


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
        raise UnfitError
    if before:
        text += "-" + ".".join(str(x) if type(x) is int else text_of(x) for x in before)
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
    "Elixir.Regex": regex_from,
    "Elixir.URI": _from_uri,
    "Elixir.Version": _from_version,
}
