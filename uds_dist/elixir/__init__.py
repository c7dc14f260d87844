"""Values of Elixir's standard library as Python's own, and a program's structs as its dataclasses.

Give its two functions to the codec or to a node:

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
| MapSet         | set, if Python tells its elements apart; also sent for a frozenset  |
| Range          | range                                                               |
| Regex          | re.Pattern, if Python has its options; it is sent without a         |
|                | compiled form: use Regex.compile!(regex.source, regex.opts) there   |
| URI            | Uri                                                                 |
| Version        | str; not sent back as a Version                                     |
| an exception   | ElixirError; other exceptions are sent as a RuntimeError            |
| a UUID as text | a uuid.UUID is sent as its 36 characters                            |

A struct with a part that Python cannot represent, such as a year above 9999 or a leap second, stays
a dict; so does every struct that is neither in this table nor has a dataclass. Python does not keep
the precision of microseconds: 6 digits are sent.

Source: the documentation of Elixir 1.18 and 1.20, Kernel and Calendar modules.
"""

from __future__ import annotations

from uds_dist.elixir.incoming import from_elixir
from uds_dist.elixir.outgoing import to_elixir
from uds_dist.elixir.structs import atoms, from_keyword, keyword, struct
from uds_dist.elixir.values import ElixirError, Uri

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
