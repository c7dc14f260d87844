"""The keys of a terminal: bytes in, keys out.

A key is a name and a text. Printable characters that come together are one key ``text``; all others
have the names that Emacs gives them: ``C-a``, ``M-b``, ``up``. An Escape that ends a piece of input
waits for what follows it: it is the first half of a meta key, as in readline.

Text that is pasted comes between two markers, if the terminal was asked for them. Its line ends are
the key ``enter``, its tabs are text, and no other control character of it is a key.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

SUSPEND = "C-z"
PASTE_END = "\x1b[201~"
# A control or shift sequence; an unfinished one waits for the rest. Not compiled here: a shell
# starts before the first key is pressed.
SEQUENCE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|\x1b?\[[0-?]*[ -/]*[@-~])"
UNFINISHED = r"\x1b(?:\x1b?\[[0-?]*[ -/]*|O)?\Z"
LONGEST_SEQUENCE = 64
NAMES = {
    "A": "up",
    "B": "down",
    "C": "right",
    "D": "left",
    "H": "home",
    "F": "end",
    "1~": "home",
    "4~": "end",
    "7~": "home",
    "8~": "end",
    "3~": "delete",
    "5~": "page-up",
    "6~": "page-down",
    "Z": "back-tab",
    "200~": "paste",
}
WITH_MODIFIER = r"(?:1;)?([0-9])([A-DFH])\Z|(\d+);(\d)~\Z"
CONTROLS = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace"}


class Key(NamedTuple):
    """A key, or text that was typed or pasted in one go."""

    name: str
    text: str = ""


class KeyDecoder:
    """Turns the bytes that a terminal sends into keys, wherever the bytes are cut."""

    def __init__(self) -> None:
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._pasting = False
        self._after_return = False  # CR LF is one key

    def feed(self, data: bytes) -> list[Key]:
        """Take bytes; return the keys that are complete."""
        text = self._held + self._utf8.decode(data)
        self._held = ""
        keys: list[Key] = []
        position = 0
        while position < len(text):
            if self._pasting:
                position = self._paste(text, position, keys)
            else:
                position = self._key(text, position, keys)
        return keys

    def _paste(self, text: str, position: int, keys: list[Key]) -> int:
        end = text.find(PASTE_END, position)
        if end >= 0:
            self._add_pasted(text[position:end], keys)
            self._pasting = False
            return end + len(PASTE_END)
        # The end marker may be cut.
        cut = next((n for n in range(len(PASTE_END) - 1, 0, -1) if text.endswith(PASTE_END[:n])), 0)
        until = max(len(text) - cut, position)
        self._add_pasted(text[position:until], keys)
        self._held = text[until:]
        return len(text)

    def _add_pasted(self, text: str, keys: list[Key]) -> None:
        for part in re.split(r"(\r\n|\r|\n)", text):
            if part in ("\r\n", "\r", "\n"):
                if not (part == "\n" and self._after_return):
                    keys.append(Key("enter"))
                self._after_return = part == "\r"
            elif part:
                self._after_return = False
                kept = "".join(c for c in part if c >= " " and c != "\x7f" or c == "\t")
                if kept:
                    keys.append(Key("text", kept))

    def _key(self, text: str, position: int, keys: list[Key]) -> int:
        character = text[position]
        if character == "\n" and self._after_return:
            self._after_return = False
            return position + 1
        self._after_return = character == "\r"
        if character == "\x1b":
            return self._escape(text, position, keys)
        if character in CONTROLS:
            keys.append(Key(CONTROLS[character]))
        elif character < " ":
            keys.append(Key("C-" + chr(ord(character) + 64).lower()))
        else:
            end = position + 1
            while end < len(text) and text[end] >= " " and text[end] != "\x7f":
                end += 1
            keys.append(Key("text", text[position:end]))
            return end
        return position + 1

    def _escape(self, text: str, position: int, keys: list[Key]) -> int:
        rest = text[position:]
        found = re.match(SEQUENCE, rest)
        if found is not None:
            name = self._sequence(found.group()[1:])
            if name == "paste":
                self._pasting = True
                self._after_return = False
            elif name:
                keys.append(Key(name))
            return position + found.end()
        if re.match(UNFINISHED, rest) and len(rest) < LONGEST_SEQUENCE:
            self._held = rest
            return len(text)
        if len(rest) == 1:
            return len(text)
        following = rest[1]
        if following in CONTROLS:
            keys.append(Key("M-" + CONTROLS[following]))
        elif following < " ":
            keys.append(Key("C-M-" + chr(ord(following) + 64).lower()))
        else:
            keys.append(Key("M-" + following))
        return position + 2

    @staticmethod
    def _sequence(sequence: str) -> str:
        """The name of a key for what follows its Escape; "" for a key without a use."""
        meta = sequence.startswith("\x1b")
        body = sequence.lstrip("\x1b")[1:]
        name = NAMES.get(body, "")
        modified = re.match(WITH_MODIFIER, body)
        if modified is not None:
            letter = modified[2] or modified[3] + "~"
            modifiers = int(modified[1] or modified[4]) - 1
            name = NAMES.get(letter, "")
            if name and modifiers & 4:
                return "C-" + name
            meta = meta or bool(modifiers & 2)
        return "M-" + name if meta and name else name
