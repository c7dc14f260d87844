"""To Elixir: terms for the Python values that the codec cannot encode itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from uds_dist import Atom, EncodeError, Map
from uds_dist.elixir.regexes import regex_to
from uds_dist.elixir.structs import AS_ATOMS, NAME, to_struct
from uds_dist.elixir.values import EXCEPTION, ISO, ElixirError, Uri, struct_term


def to_elixir(value: object) -> object:
    """The term for a value that the codec cannot encode; pass this function as ``default``.

    Args:
        value: see the table in `uds_dist.elixir`.
    Returns:
        A term; its elements may need this function again.
    Raises:
        EncodeError: Elixir has no equivalent.
    """
    if NAME in vars(type(value)):
        return to_struct(value)
    if isinstance(value, Enum) and AS_ATOMS in vars(type(value)):
        return value.value if isinstance(value.value, Atom) else Atom(value.name)
    for kind, convert in _TO_ELIXIR:
        if isinstance(value, kind):
            return convert(value)
    raise EncodeError(f"{type(value).__name__} has no equivalent in Elixir")


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
        return struct_term("Elixir.NaiveDateTime", calendar=ISO, **_day(value), **_clock(value))
    offset = value.utcoffset() or timedelta()
    saving = value.dst() or timedelta()
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    if value.tzinfo is timezone.utc or zone == "UTC":
        zone = "Etc/UTC"  # the one zone that Elixir knows without a database
    if zone is None:  # an offset without a name: the same moment, in UTC
        return _to_date_time(value.astimezone(timezone.utc))
    return struct_term(
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
        raise EncodeError("a time with a time zone has no equivalent in Elixir: send a datetime")
    return struct_term("Elixir.Time", calendar=ISO, **_clock(value))


def _to_duration(value: timedelta) -> object:
    return struct_term(
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
    return struct_term("Elixir.Decimal", sign=-1 if sign else 1, coef=coefficient, exp=power)


def _to_map_set(value: Iterable[object]) -> object:
    nothing: list[object] = []
    return struct_term("Elixir.MapSet", map=Map([(item, nothing) for item in value]))


def _to_range(value: range) -> object:
    step = value.step
    return struct_term(
        "Elixir.Range", first=value.start, last=value.stop - (1 if step > 0 else -1), step=step
    )


def _to_uri(value: Uri) -> object:
    return struct_term("Elixir.URI", **vars(value))


def _to_exception(value: BaseException) -> object:
    if isinstance(value, ElixirError):
        return struct_term(value.struct, **value.fields) | {EXCEPTION: True}
    text = f"{type(value).__name__}: {value}"
    return struct_term("Elixir.RuntimeError", message=text) | {EXCEPTION: True}


_TO_ELIXIR: Final[tuple[tuple[type | tuple[type, ...], Callable[..., object]], ...]] = (
    (datetime, _to_date_time),
    (date, lambda value: struct_term("Elixir.Date", calendar=ISO, **_day(value))),
    (time, _to_time),
    (timedelta, _to_duration),
    (Decimal, _to_decimal),
    ((set, frozenset), _to_map_set),
    (range, _to_range),
    (UUID, str),
    (re.Pattern, regex_to),
    (Uri, _to_uri),
    (BaseException, _to_exception),
)
