"""A line editor, sans I/O: keys in, a line and a cursor out.

The keys are those of Emacs, as in readline and the shells of Erlang. The editor neither draws
(`screen.py` does) nor knows any completions: it only says what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from uds_dist.shell.keys import Key
from uds_dist.shell.layout import begins_cluster

MAX_UNDO = 200


class Effect(Enum):
    """The effect of a key besides changing the line."""

    NOTHING = "nothing"
    ACCEPT = "accept"  # the line is finished
    END = "end"  # end of input, at an empty line
    COMPLETE = "complete"
    CLEAR = "clear"  # the screen
    BELL = "bell"


class LineEditor:
    """One line being edited.

    Args:
        history: the lines to go back to, the oldest first.
    """

    def __init__(self, history: Sequence[str] = ()) -> None:
        self.text = ""
        self.cursor = 0
        self._history = history
        self._index = len(history)
        self._unsent = ""  # the line that was being typed when the user went back
        self._killed = ""
        self._last = ""  # the key before this one
        self._undo: list[tuple[str, int]] = []
        self.search: Search | None = None

    def start(self, history: Sequence[str], text: str = "", cursor: int | None = None) -> None:
        """Begin a line."""
        self.text = text
        self.cursor = len(text) if cursor is None else cursor
        self._history = history
        self._index = len(history)
        self._unsent = ""
        self._last = ""
        self._undo.clear()
        self.search = None

    def feed(self, key: Key) -> Effect:
        """Take a key."""
        if self.search is not None:
            effect = self._search_key(self.search, key)
            if effect is not None:
                return effect
        before = (self.text, self.cursor)
        effect = self._act(key)
        if self.text != before[0] and key.name != "C-_":
            self._undo.append(before)
            del self._undo[:-MAX_UNDO]
        self._last = key.name
        return effect

    def _act(self, key: Key) -> Effect:
        if key.name == "text":
            self.insert(key.text)
            return Effect.NOTHING
        action = ACTIONS.get(key.name)
        return Effect.NOTHING if action is None else action(self)

    # -- changes ---------------------------------------------------------------------------

    def insert(self, text: str) -> None:
        """Insert text at the cursor."""
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)

    def _cut(self, start: int, end: int) -> str:
        removed = self.text[start:end]
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start
        return removed

    def _kill(self, start: int, end: int) -> Effect:
        """Remove text for `yank`; kills in a row are one."""
        backwards = end == self.cursor and start < end
        removed = self._cut(start, end)
        if self._last not in KILLS:
            self._killed = removed
        elif backwards:
            self._killed = removed + self._killed
        else:
            self._killed += removed
        return Effect.NOTHING

    def _yank(self) -> Effect:
        self.insert(self._killed)
        return Effect.NOTHING

    def _backspace(self) -> Effect:
        if self.cursor == 0:
            return Effect.BELL
        # A combining mark is removed without its base character.
        self._cut(self.cursor - 1, self.cursor)
        return Effect.NOTHING

    def _delete(self) -> Effect:
        if self.cursor == len(self.text):
            return Effect.BELL
        self._cut(self.cursor, self._after())
        return Effect.NOTHING

    def _delete_or_end(self) -> Effect:
        return Effect.END if not self.text else self._delete()

    def _kill_to_end(self) -> Effect:
        return self._kill(self.cursor, len(self.text))

    def _kill_to_start(self) -> Effect:
        return self._kill(0, self.cursor)

    def _kill_word(self) -> Effect:
        return self._kill(self.cursor, self._word_end())

    def _kill_word_back(self) -> Effect:
        return self._kill(self._word_start(), self.cursor)

    def _kill_blank_word_back(self) -> Effect:
        start = self.cursor
        while start and self.text[start - 1].isspace():
            start -= 1
        while start and not self.text[start - 1].isspace():
            start -= 1
        return self._kill(start, self.cursor)

    def _transpose(self) -> Effect:
        at = min(self.cursor, len(self.text) - 1)
        if at < 1:
            return Effect.BELL
        text = self.text
        self.text = text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
        self.cursor = at + 1
        return Effect.NOTHING

    def _change_word(self, change: Callable[[str], str]) -> Effect:
        end = self._word_end()
        word = self.text[self.cursor : end]
        changed = change(word)
        self.text = self.text[: self.cursor] + changed + self.text[end:]
        self.cursor += len(changed)
        return Effect.NOTHING

    def _take_back(self) -> Effect:
        if not self._undo:
            return Effect.BELL
        self.text, self.cursor = self._undo.pop()
        return Effect.NOTHING

    # -- movements -------------------------------------------------------------------------

    def _before(self) -> int:
        index = max(self.cursor - 1, 0)
        while not begins_cluster(self.text, index):
            index -= 1
        return index

    def _after(self) -> int:
        index = min(self.cursor + 1, len(self.text))
        while not begins_cluster(self.text, index):
            index += 1
        return index

    def _word_end(self) -> int:
        end = self.cursor
        while end < len(self.text) and not _in_word(self.text[end]):
            end += 1
        while end < len(self.text) and _in_word(self.text[end]):
            end += 1
        return end

    def _word_start(self) -> int:
        start = self.cursor
        while start and not _in_word(self.text[start - 1]):
            start -= 1
        while start and _in_word(self.text[start - 1]):
            start -= 1
        return start

    def _move(self, cursor: int) -> Effect:
        self.cursor = cursor
        return Effect.NOTHING

    # -- history ---------------------------------------------------------------------------

    def _go_to(self, index: int) -> Effect:
        if not 0 <= index <= len(self._history) or index == self._index:
            return Effect.BELL
        if self._index == len(self._history):
            self._unsent = self.text
        self._index = index
        self.text = self._unsent if index == len(self._history) else self._history[index]
        self.cursor = len(self.text)
        return Effect.NOTHING

    def _start_search(self) -> Effect:
        if self._index == len(self._history):
            self._unsent = self.text
        self.search = Search(self.text, self.cursor, self._index)
        return Effect.NOTHING

    def _search_key(self, search: Search, key: Key) -> Effect | None:
        """Take a key within a search; None when it ends the search and acts on the line."""
        if key.name == "text":
            search.wanted += key.text
            return self._find(search, search.index)
        if key.name == "C-r":
            return self._find(search, search.index - 1)
        if key.name == "C-s":
            return self._find(search, search.index + 1, forward=True)
        if key.name == "backspace":
            search.wanted = search.wanted[:-1]
            search.index = search.began
            return self._find(search, search.index)
        self.search = None
        if key.name == "C-g":
            self.text, self.cursor = search.text, search.cursor
            return Effect.NOTHING
        return None

    def _find(self, search: Search, index: int, forward: bool = False) -> Effect:
        if not search.wanted:
            return Effect.NOTHING
        last = len(self._history) - 1
        places = range(index, last + 1) if forward else range(min(index, last), -1, -1)
        for place in places:
            at = self._history[place].find(search.wanted) if place >= 0 else -1
            if at >= 0:
                search.index = self._index = place
                search.failed = False
                self.text, self.cursor = self._history[place], at
                return Effect.NOTHING
        search.failed = True
        return Effect.BELL


class Search:
    """A search in the history: its text, where it starts, and the line before the search."""

    __slots__ = ("began", "cursor", "failed", "index", "text", "wanted")

    def __init__(self, text: str, cursor: int, index: int) -> None:
        self.text = text
        self.cursor = cursor
        self.began = index
        self.index = index
        self.wanted = ""
        self.failed = False

    @property
    def prompt(self) -> str:
        """The text shown instead of the prompt."""
        return f"({'failed ' if self.failed else ''}reverse-i-search)`{self.wanted}': "


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


Action = Callable[[LineEditor], Effect]
# What each key does; the other keys do nothing.
ACTIONS: dict[str, Action] = {
    "enter": lambda _editor: Effect.ACCEPT,
    "tab": lambda _editor: Effect.COMPLETE,
    "C-l": lambda _editor: Effect.CLEAR,
    "C-d": LineEditor._delete_or_end,
    "delete": LineEditor._delete,
    "backspace": LineEditor._backspace,
    "C-k": LineEditor._kill_to_end,
    "C-u": LineEditor._kill_to_start,
    "C-w": LineEditor._kill_blank_word_back,
    "M-d": LineEditor._kill_word,
    "M-backspace": LineEditor._kill_word_back,
    "C-y": LineEditor._yank,
    "C-t": LineEditor._transpose,
    "M-u": lambda editor: editor._change_word(str.upper),
    "M-l": lambda editor: editor._change_word(str.lower),
    "M-c": lambda editor: editor._change_word(str.title),
    "C-_": LineEditor._take_back,
    "C-b": lambda editor: editor._move(editor._before()),
    "left": lambda editor: editor._move(editor._before()),
    "C-f": lambda editor: editor._move(editor._after()),
    "right": lambda editor: editor._move(editor._after()),
    "M-b": lambda editor: editor._move(editor._word_start()),
    "C-left": lambda editor: editor._move(editor._word_start()),
    "M-left": lambda editor: editor._move(editor._word_start()),
    "M-f": lambda editor: editor._move(editor._word_end()),
    "C-right": lambda editor: editor._move(editor._word_end()),
    "M-right": lambda editor: editor._move(editor._word_end()),
    "C-a": lambda editor: editor._move(0),
    "home": lambda editor: editor._move(0),
    "C-e": lambda editor: editor._move(len(editor.text)),
    "end": lambda editor: editor._move(len(editor.text)),
    "C-p": lambda editor: editor._go_to(editor._index - 1),
    "up": lambda editor: editor._go_to(editor._index - 1),
    "C-n": lambda editor: editor._go_to(editor._index + 1),
    "down": lambda editor: editor._go_to(editor._index + 1),
    "M-<": lambda editor: editor._go_to(0),
    "M->": lambda editor: editor._go_to(len(editor._history)),
    "C-r": LineEditor._start_search,
}
KILLS = frozenset({"C-k", "C-u", "C-w", "M-d", "M-backspace"})
