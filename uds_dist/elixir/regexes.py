"""Regular expressions: Elixir's Regex as a pattern of Python, and back."""

from __future__ import annotations

import re
from typing import Final

from uds_dist import Atom, EncodeError
from uds_dist.elixir.values import UnfitError, struct_term, text_of

# The options that Elixir's modifiers i, m, s, x and u stand for; Python has none for f and U.
_RE_FLAGS: Final[dict[object, int]] = {
    "caseless": re.IGNORECASE,
    "multiline": re.MULTILINE,
    "dotall": re.DOTALL,
    (Atom("newline"), Atom("anycrlf")): 0,  # comes with dotall
    "extended": re.VERBOSE,
    "unicode": 0,
    "ucp": 0,
}
MAX_PATTERN: Final = 1000  # characters: Python code compiles a pattern, slowly
# If case is ignored, such a set is compiled character by character: 5 ms for 10 bytes of a peer.
_MAY_BE_WIDE: Final = re.compile(r"\[(?=.*(?:[^\0-\x7f]|\\[xuUN0-9]))", re.DOTALL)

_RE_OPTIONS: Final[tuple[tuple[int, list[object]], ...]] = (
    (re.IGNORECASE, [Atom("caseless")]),
    (re.MULTILINE, [Atom("multiline")]),
    (re.DOTALL, [Atom("dotall"), (Atom("newline"), Atom("anycrlf"))]),
    (re.VERBOSE, [Atom("extended")]),
    (re.UNICODE, [Atom("unicode"), Atom("ucp")]),
)
# PCRE and Python both accept these, with different meanings; Python warns of sets within sets.
_MEANS_SOMETHING_ELSE: Final = re.compile(r"\\Z|\[[^]]*(?:\[|--|&&|~~|\|\|)")


def regex_from(content: dict[str, object]) -> object:
    """The pattern for a Regex's fields; UnfitError if Python reads it differently."""
    options = content["opts"]
    if not isinstance(options, list):
        raise UnfitError
    flags = 0
    for option in options:
        flags |= _RE_FLAGS[option]
    source = text_of(content["source"])
    if len(source) > MAX_PATTERN or _MEANS_SOMETHING_ELSE.search(source):
        raise UnfitError
    if flags & re.IGNORECASE and _MAY_BE_WIDE.search(source):
        raise UnfitError
    if "unicode" not in options:
        flags |= re.ASCII
    return re.compile(source, flags)


def regex_to(value: re.Pattern[str] | re.Pattern[bytes]) -> object:
    """The Regex of a pattern."""
    source, flags = value.pattern, value.flags
    if flags & re.LOCALE:
        raise EncodeError("a pattern with the flag LOCALE has no equivalent in Elixir")
    options: list[object] = []
    for flag, names in _RE_OPTIONS:
        if flags & flag:
            options += names
    # Only Regex.compile! at the other node can make the compiled form.
    return struct_term("Elixir.Regex", source=source, opts=options, re_pattern=None)
