"""A listening socket in the loop: it admits peers and keeps its file in place.

The module `binding` makes the socket. If the file is removed or replaced, the listener notices
within a quarter of the tick time and makes it again. If another process has the name by then, the
log says which, and the listener keeps trying.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from uds_dist.config import Config
from uds_dist.errors import ListenError
from uds_dist.transport import reasons
from uds_dist.transport.address import SocketAddress
from uds_dist.transport.binding import adopt, bind, listen_error
from uds_dist.transport.credentials import admits_every_uid, may_accept, peer_uid
from uds_dist.transport.fault import is_own_fault
from uds_dist.transport.log_rate import BoundedLog
from uds_dist.transport.loop import READ, EventLoop
from uds_dist.transport.timers import Timer

logger = logging.getLogger(__name__)

# Accept at most this many in a round; the rest of the backlog waits for the next one.
ACCEPTS_PER_ROUND = 16
# Without a free descriptor, accept is tried again after this many seconds.
PAUSE = 0.5


class Listener:
    """One listening socket, registered with the loop.

    Args:
        loop: the loop that watches the socket.
        address: where to listen; ignored if `sock` is given.
        config: `backlog`, `socket_mode`, `allowed_uids` and `tick_time` are used.
        on_accept: called with each admitted, non-blocking socket.
        sock: a socket that already listens. Its file is left unchanged.
    Raises:
        DuplicateNameError: a live node listens there.
        ListenError: the address cannot be listened at.
    """

    def __init__(
        self,
        loop: EventLoop,
        address: SocketAddress,
        config: Config,
        on_accept: Callable[[socket.socket], object],
        sock: socket.socket | None = None,
    ) -> None:
        self.accepted = 0
        self.refused = 0
        self._loop = loop
        self._config = config
        self._on_accept = on_accept
        self._resume: Timer | None = None
        self._held_back = False
        self._refusals = BoundedLog(logger, loop.time)
        self._pauses = BoundedLog(logger, loop.time)
        self._told = ""  # the last warning about a file that cannot be made again
        self._binding = bind(address, config) if sock is None else adopt(sock)
        self._socket = self._binding.sock
        try:
            loop.register(self._socket, READ, self._on_readable)
            self._look: Timer = loop.call_later(config.tick_time / 4, self._look_after)
        except BaseException as error:
            if sock is None:
                self._binding.close()
            if isinstance(error, OSError):
                raise listen_error(self.address, error) from None
            raise

    @property
    def address(self) -> SocketAddress:
        """Where it listens."""
        return self._binding.address

    def __repr__(self) -> str:
        state = "closed" if self._socket.fileno() < 0 else "open" if self._watched else "paused"
        return f"<Listener {self.address} {state} accepted={self.accepted} refused={self.refused}>"

    def _on_readable(self, _events: int) -> None:
        self._accept_from(self._socket)

    def _accept_from(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_ROUND):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Usually there is no free descriptor. In any case the peer can try again, and the
                # listener stays.
                self._pause(error)
                return
            try:
                self._admit(accepted)
            except Exception as error:
                accepted.close()
                if not is_own_fault(error):
                    raise
                logger.error("%s: could not serve a caller", self.address, exc_info=error)
            if self._socket.fileno() < 0 or self._held_back:  # on_accept did that
                return

    def _admit(self, accepted: socket.socket) -> None:
        """Pass on a connection if its peer is admitted."""
        accepted.setblocking(False)
        binding = self._binding
        everyone = admits_every_uid(binding.address, self._config, bits_hold=binding.bits_hold)
        uid = None if everyone else peer_uid(accepted)
        if everyone or may_accept(uid, self.address, self._config, bits_hold=binding.bits_hold):
            self.accepted += 1
            self._on_accept(accepted)
        else:
            self.refused += 1
            accepted.close()
            self._refusals.warning("%s: %s", self.address, reasons.caller_refused(uid))

    @property
    def _watched(self) -> bool:
        return self._resume is None and not self._held_back

    def hold_back(self) -> None:
        """Accept nobody until `go_on`; meanwhile peers that dial wait in the backlog."""
        if not self._held_back and self._socket.fileno() >= 0:
            if self._watched:
                self._loop.unregister(self._socket)
            self._held_back = True

    def go_on(self) -> None:
        """Accept again after `hold_back`."""
        if self._held_back and self._socket.fileno() >= 0:
            self._held_back = False
            self._watch_again()

    def _watch_again(self) -> None:
        if self._watched:
            try:
                self._loop.register(self._socket, READ, self._on_readable)
            except OSError as error:
                self._try_again_later(error)

    def _pause(self, error: OSError) -> None:
        self._loop.unregister(self._socket)
        self._try_again_later(error)

    def _try_again_later(self, error: OSError) -> None:
        self._pauses.warning(
            "%s: accepting pauses for %s s: %s", self.address, PAUSE, error.strerror
        )
        self._resume = self._loop.call_later(PAUSE, self._pause_over)

    def _pause_over(self) -> None:
        self._resume = None
        self._watch_again()

    # -- the file --------------------------------------------------------------------------

    def check(self, wait: bool = True) -> None:
        """Make the socket file again if it was removed or replaced.

        Args:
            wait: False to fail at once if another process has locked the folder.
        Raises:
            DuplicateNameError: another process listens at its path.
            ListenError: it cannot be made.
        """
        old = self._binding
        if old.in_place:
            return
        new = old.again(self._config, wait)
        if self._watched:
            try:
                self._loop.register(new.sock, READ, self._on_readable)
            except OSError as error:
                new.close()
                raise listen_error(self.address, error) from None
            self._loop.unregister(old.sock)
        self._binding = new
        self._socket = new.sock
        self._told = ""
        logger.warning("%s: the socket file was removed or replaced: making it again", self.address)
        try:
            if self._watched:
                self._accept_from(old.sock)  # peers that had already connected
        finally:
            old.close()

    def _look_after(self) -> None:
        self._look = self._loop.call_later(self._config.tick_time / 4, self._look_after)
        try:
            self.check(wait=False)  # the loop must not wait; the next check comes soon
        except ListenError as error:
            if str(error) != self._told:
                self._told = str(error)
                logger.error(
                    "%s: the socket file was removed or replaced, so nobody can dial this node: %s",
                    self.address,
                    error,
                )

    def close(self) -> None:
        """Stop listening, and remove the socket file if it is still the one that this node made."""
        if self._socket.fileno() < 0:
            return
        if self._loop.process.forked:
            self._socket.close()  # the file and the epoll registration are the parent's
            return
        if self._watched and not self._loop.closed:
            self._loop.unregister(self._socket)
        self._look.cancel()
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self._binding.close()
