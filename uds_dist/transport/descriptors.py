"""The descriptors that a loop watches, each with its callback.

The selector is level-triggered on purpose: a handler that reads only part of the data, or that
raises before reading, loses nothing. It also makes `fileno` nestable: epoll and kqueue descriptors
are readable exactly while something registered with them is ready.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Collection
from typing import Protocol

from uds_dist.errors import ConfigError
from uds_dist.transport.waiting import Ready


class HasFileno(Protocol):
    """Anything with `fileno() -> int`, such as a socket."""

    def fileno(self) -> int: ...


class Registration:
    """A watched descriptor; `events` is checked at dispatch, and is 0 once unregistered."""

    __slots__ = ("callback", "events")

    def __init__(self, callback: Callable[[int], object], events: int) -> None:
        self.callback = callback
        self.events = events


class Descriptors:
    """A selector with its registrations; `EventLoop` documents the methods.

    Args:
        selector: any `selectors` selector; None for the best one of this system.
    """

    __slots__ = ("selector", "_closed")

    def __init__(self, selector: selectors.BaseSelector | None) -> None:
        self.selector = selectors.DefaultSelector() if selector is None else selector
        self._closed = False

    def __len__(self) -> int:
        return 0 if self._closed else len(self.selector.get_map())

    def close(self) -> None:
        """Close the selector; the descriptors stay open."""
        self._closed = True
        self.selector.close()

    def register(
        self, fileobj: int | HasFileno, events: int, callback: Callable[[int], object]
    ) -> None:
        """Watch a descriptor."""
        self.selector.register(fileobj, events, Registration(callback, events))

    def modify(self, fileobj: int | HasFileno, events: int) -> None:
        """Change the events that a descriptor is watched for."""
        if not events:
            # Some selectors accept 0; they would then report a hang-up in every round.
            raise ValueError("events is 0: unregister the descriptor instead")
        registration: Registration = self.selector.get_key(fileobj).data
        self.selector.modify(fileobj, events, registration)
        registration.events = events

    def unregister(self, fileobj: int | HasFileno) -> None:
        """Stop watching a descriptor."""
        try:
            self.selector.unregister(fileobj).data.events = 0
        except BytesWarning:
            # With -bb: the KeyError's text would show an abstract socket's address, which is bytes.
            raise KeyError("the socket is not registered") from None

    def still_ready(self, registrations: Collection[object]) -> Ready:
        """The registrations among these that are ready now."""
        if not registrations:
            return []
        return [item for item in self.selector.select(0.0) if item[0].data in registrations]

    def fileno(self) -> int:
        """The selector's own descriptor."""
        fileno = getattr(self.selector, "fileno", None)
        if fileno is None:
            raise ConfigError(
                f"{type(self.selector).__name__} has no descriptor of its own:"
                " use EpollSelector or KqueueSelector"
            )
        return int(fileno())
