"""The processes of a node, and the signals that they send.

Outgoing signals of a process go to the node of their destination, through the `Router`; those for
this node are handled like incoming ones (`local_signals`).

User code runs only inside `run_once`. A message of a peer goes straight to `on_message`; anything
else for such a process, a local message or the notice of a lost connection, waits in its queue for
the next round, and later messages wait after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from uds_dist.config import Config
from uds_dist.errors import ClosedError, ConfigError, UdsDistError
from uds_dist.etf.shown import shown
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.processes.destination import name_and_node, process_and_node
from uds_dist.processes.dialect import UNUSED
from uds_dist.processes.endings import Endings, Notice
from uds_dist.processes.local_signals import LocalSignals, SignalHandler, copied
from uds_dist.processes.monitors import Monitor, ProcessMonitor
from uds_dist.processes.names import NOPROC, NORMAL, SHUTDOWN
from uds_dist.processes.numbers import Numbers
from uds_dist.processes.pending import PendingCall
from uds_dist.processes.process import SMALL_MESSAGE, Process
from uds_dist.processes.program_terms import ProgramTerms
from uds_dist.processes.router import Router
from uds_dist.processes.ties import Ties
from uds_dist.protocol.control import (
    ALIAS_SEND,
    ALTACT_SIG_SEND,
    DEMONITOR_P,
    GROUP_LEADER,
    LINK,
    MONITOR_P,
    NO_PAYLOAD,
    PAYLOAD_EXIT,
    PAYLOAD_EXIT2,
    PAYLOAD_MONITOR_P_EXIT,
    REG_SEND,
    SEND_SENDER,
    UNLINK_ID,
    AltactFlag,
)
from uds_dist.protocol.parse import parse
from uds_dist.transport.loop import EventLoop

logger = logging.getLogger(__name__)

PRIO_ALIAS = AltactFlag.PRIO | AltactFlag.ALIAS


class Processes:
    """The process table of one node.

    Args:
        loop: runs what must wait for the next round.
        config: the mailbox limit is used.
        name: the node's name.
        creation: the node's creation, which is in every pid and reference.
        router: sends signals to other nodes.
        handler: acts on the signals to processes of this node that come from here.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        name: str,
        creation: int,
        router: Router,
        handler: SignalHandler,
    ) -> None:
        self.name = Atom(name)
        self.loop = loop
        self.numbers = Numbers(self.name, creation)
        self.terms = ProgramTerms(loop, config)
        # By the numbers of their pids: a message finds its process without a call of Python code.
        self.by_pid: dict[bytes, Process] = {}
        self.by_name: dict[str, Process] = {}
        # Aliases whose messages are for a call, and those of mailboxes, with their priority.
        self.aliases: dict[Reference, PendingCall] = {}
        self.mailbox_aliases: dict[Reference, tuple[Process, bool]] = {}
        self.monitors: dict[Reference, Monitor] = {}
        self.spawns: dict[Reference, PendingCall] = {}  # requests without a reply yet
        # By node, until it goes down. Empty ones are kept: a series of calls would make and drop
        # them.
        self.ties_by_node: dict[str, Ties] = {}
        # The reason of the node whose monitors are firing now.
        self.down_error: UdsDistError | None = None
        self.max_mailbox_length = config.max_mailbox_length
        self.max_mailbox_size = config.max_mailbox_size
        # How many small messages a mailbox may hold, by both limits.
        self.max_small_messages = min(
            config.max_mailbox_length, config.max_mailbox_size // SMALL_MESSAGE
        )
        self.pressure = router.pressure
        self.max_links_and_monitors = config.max_links_and_monitors
        self.max_pending_requests = config.max_pending_requests
        self._router = router
        self._endings = Endings(loop, self.pressure, self.signal)
        self._local = LocalSignals(loop, self.name, self.pressure, handler)
        self.closed = False
        self.own = self.numbers.new_pid()  # of the node's own process

    # -- making ----------------------------------------------------------------------------

    def new_process(
        self,
        name: str | None = None,
        on_message: Callable[[object], object] | None = None,
        *,
        trap_exit: bool = False,
        pid: Pid | None = None,
    ) -> Process:
        """Start a process, registered under `name` if one is given; `pid` is from `new_pid`."""
        if self.closed:
            raise ClosedError(f"the node {self.name} is closed")
        pid = self.numbers.new_pid() if pid is None else pid
        process = Process(self.loop, self, pid, on_message, trap_exit)
        if name is not None:
            self.register(process, name)
        self.by_pid[pid._words] = process
        return process

    def register(self, process: Process, name: str) -> None:
        """Give a process a registered name."""
        if process.name is not None:
            raise ConfigError(f"the process is registered as {process.name} already")
        if not name or name == "undefined":
            raise ConfigError(f"{shown(name)} cannot be a registered name")
        if name in self.by_name:
            raise ConfigError(f"the name {name} is taken by {self.by_name[name].pid}")
        process.name = Atom(name)
        self.by_name[name] = process

    def find(self, dest: Pid | str) -> Process | None:
        """The living process of a pid or a registered name."""
        return self.process_of(dest) if isinstance(dest, Pid) else self.by_name.get(dest)

    def process_of(self, pid: Pid) -> Process | None:
        """The living process of a pid."""
        return self.by_pid.get(pid._words) if pid._node == self.name else None

    @property
    def ties(self) -> dict[str, Ties]:
        """A snapshot of the ties between processes of this node and other nodes, by node."""
        return {node: ties for node, ties in self.ties_by_node.items() if ties}

    def ties_with(self, node: str) -> Ties:
        """The ties with a node; new ones can be added to them."""
        ties = self.ties_by_node.get(node)
        if ties is None:
            ties = self.ties_by_node[node] = Ties()
        return ties

    # -- messages in -----------------------------------------------------------------------

    def waits(self, process: Process, message: object) -> None:
        """Count a message that waits in a mailbox; the mailbox may be full now."""
        decoder = self.pressure.decoder
        size = self._local.size if decoder is None else decoder.message_size
        if size > SMALL_MESSAGE:
            process.weigh(message, size)
        if self.pressure.source is None:
            return  # no peer's message is being acted on: nobody is held back
        count = len(process.queue)
        if process.prior is not None or process.held is not None:
            count = process.waiting
        if (
            count >= self.max_mailbox_length
            or count * SMALL_MESSAGE + process.weight >= self.max_mailbox_size
        ):
            self._router.hold_back(process)

    # -- signals out -----------------------------------------------------------------------

    # A destination is an `object` here, and `name_and_node` refuses invalid ones: compiled, a
    # narrower type would be checked earlier and raise TypeError.

    def send(self, sender: Process, dest: object, message: object, priority: bool = False) -> None:
        """Send a program's message; see `Mailbox.send`."""
        if not sender.alive:
            raise sender.has_exited()
        if self.closed:
            raise ClosedError(f"the node {self.name} is closed")
        control: tuple[object, ...]
        node: str
        if type(dest) is Pid:
            node = dest._node  # not the property: that is a call
            control = (SEND_SENDER, sender.pid, dest)
        elif type(dest) is Reference:
            node = dest.node
            if priority:
                control = (ALTACT_SIG_SEND, PRIO_ALIAS, sender.pid, dest)
            else:
                control = (ALIAS_SEND, sender.pid, dest)
        else:
            name, node = name_and_node(dest, self.name)
            control = (REG_SEND, sender.pid, UNUSED, Atom(name))
        if node == self.name:
            self._signal_here(control, message)
        else:
            self._router.route_message(node, control, message)

    def signal(self, node: str, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> None:
        """Send a signal to a node, this one included."""
        if node == self.name:
            self._signal_here(control, payload)
        else:
            self._router.route(node, control, payload)

    def _signal_here(self, control: tuple[object, ...], payload: object) -> None:
        size = 0
        if payload is not NO_PAYLOAD:
            payload, size = copied(payload, self.terms.max_depth, self.terms.default)
        local = self._local
        local.queue.append((parse(control), payload, size))
        if not local.running:
            local.run()

    def link(self, process: Process, pid: Pid) -> None:
        """Send a link signal; see `Mailbox.link`."""
        if pid != process.pid and process.links.link(pid):
            self.ties_with(pid.node).links.add((process, pid))
            self.signal(pid.node, (LINK, process.pid, pid))

    def unlink(self, process: Process, pid: Pid) -> None:
        """Send an unlink signal; see `Mailbox.unlink`."""
        unlink_id = self.numbers.new_unlink_id()
        if process.links.unlink(pid, unlink_id):
            self.signal(pid.node, (UNLINK_ID, unlink_id, process.pid, pid))

    def monitor(self, process: Process, dest: object) -> Reference:
        """Start a monitor whose notice is a DOWN message; see `Mailbox.monitor`."""
        target, node = process_and_node(dest, self.name)
        watched = target if isinstance(target, Pid) else (target, node)
        ref = self.numbers.new_reference()
        process.monitors.add(ref)
        self.watch(ProcessMonitor(process, ref, target, node, watched))
        return ref

    def watch_spawned(self, process: Process, pid: Pid, ref: Reference) -> None:
        """Note the monitor of a process that a spawn request has started."""
        self.note_monitor(ProcessMonitor(process, ref, pid, pid.node, pid))
        if process.alive:
            process.monitors.add(ref)
        else:
            self.stop_monitor(ref)  # it ended between its request and the reply

    def watch(self, monitor: Monitor) -> None:
        """Start a monitor."""
        self.note_monitor(monitor)
        self.signal(monitor.node, (MONITOR_P, monitor.owner, monitor.target, monitor.ref))

    def note_monitor(self, monitor: Monitor) -> None:
        """Note a monitor that the other node has set up already, as a spawn request does."""
        self.ties_with(monitor.node).monitors.add(monitor)
        self.monitors[monitor.ref] = monitor

    def demonitor(self, process: Process, ref: Reference, flush: bool = False) -> bool:
        """End a monitor of a process; see `Mailbox.demonitor`."""
        found = ref in process.monitors
        if found:
            process.monitors.discard(ref)
            found = self.stop_monitor(ref)
        if flush and not found:
            process.flush_down(ref)
        return found

    def stop_monitor(self, ref: Reference) -> bool:
        """End a monitor; False when there is none of that reference any more."""
        monitor = self.forget_monitor(ref)
        if monitor is None:
            return False
        self.signal(monitor.node, (DEMONITOR_P, monitor.owner, monitor.target, ref))
        return True

    def forget_monitor(self, ref: Reference) -> Monitor | None:
        """Remove a monitor: it has fired, or must end."""
        monitor = self.monitors.pop(ref, None)
        if monitor is not None:
            ties = self.ties_by_node.get(monitor.node)
            if ties is not None:
                ties.monitors.discard(monitor)
        return monitor

    def make_alias(self, process: Process, priority: bool = False) -> Reference:
        """Make an alias of a process; see `Mailbox.alias`."""
        ref = self.numbers.new_reference()
        process.aliases.add(ref)
        self.mailbox_aliases[ref] = (process, priority)
        return ref

    def drop_alias(self, process: Process, ref: Reference) -> bool:
        """End an alias of a process; see `Mailbox.unalias`."""
        if ref not in process.aliases:
            return False
        process.aliases.discard(ref)
        del self.mailbox_aliases[ref]
        return True

    def exit_signal(
        self, sender: Pid, dest: Pid | Reference, reason: object, priority: bool = False
    ) -> None:
        """Send an exit signal; see `Mailbox.exit`."""
        if isinstance(dest, Pid) and not priority:
            self.signal(dest.node, (PAYLOAD_EXIT2, sender, dest), reason)
            return
        flags: int = AltactFlag.EXIT
        if priority:
            flags |= AltactFlag.PRIO
        if isinstance(dest, Reference):
            flags |= AltactFlag.ALIAS
        self.signal(dest.node, (ALTACT_SIG_SEND, flags, sender, dest), reason)

    def set_group_leader(self, leader: Pid, dest: Pid) -> None:
        """Make `leader` the group leader of the process `dest`, wherever that is."""
        self.signal(dest.node, (GROUP_LEADER, leader, dest))

    def request_spawn(
        self,
        call: PendingCall,
        control: tuple[object, ...],
        arguments: list[object],
        own: bool = False,
    ) -> None:
        """Send a spawn request; its reply, or a made-up one at `noconnection`, goes to a call.

        Args:
            call: waits for the reply.
            control: the spawn request.
            arguments: the argument terms of the function.
            own: the node itself calls, not the program, so it is never refused.
        Raises:
            EncodeError: an argument is not a term.
            BusyError: the connection's write queue is full.
        """
        try:
            self.spawns[call.ref] = call
            self.ties_with(call.node).spawns.add(call)
            if call.node == self.name:
                self.signal(call.node, control, arguments)
            elif own:
                self._router.route(call.node, control, arguments)
            else:
                self._router.route_message(call.node, control, arguments)
        except BaseException:
            self.take_spawn(call.ref)
            raise

    def take_spawn(self, ref: Reference) -> PendingCall | None:
        """Remove a spawn request: its reply has come."""
        call = self.spawns.pop(ref, None)
        if call is not None:
            ties = self.ties_by_node.get(call.node)
            if ties is not None:
                ties.spawns.discard(call)
        return call

    def pending(self) -> list[PendingCall]:
        """All pending requests of this node's processes."""
        found = {**self.aliases, **self.spawns}
        for ref, monitor in self.monitors.items():
            if isinstance(monitor, PendingCall):
                found[ref] = monitor
        return list(found.values())

    def terminate(self, process: Process, reason: object = NORMAL) -> None:
        """End a process, and fire all its links and monitors.

        Raises:
            EncodeError: the reason is not a term; the process continues.
        """
        reason = self.terms.copy(reason)
        if self.by_pid.pop(process.pid._words, None) is None:
            return
        process.ended(reason if process.convert is None else process.convert(reason))
        if process.name is not None and self.by_name.get(process.name) is process:
            del self.by_name[process.name]
        for alias in process.aliases:
            del self.mailbox_aliases[alias]
        process.aliases.clear()
        for ref in tuple(process.monitors):
            self.stop_monitor(ref)
        process.monitors.clear()
        notices: list[Notice] = []
        for ref, (watcher, target) in tuple(process.watchers.items()):
            self.drop_watcher(process, ref)
            notices.append((watcher.node, (PAYLOAD_MONITOR_P_EXIT, target, watcher, ref)))
        linked = process.links.active()
        for pid in process.links.all():
            process.links.drop(pid)
            self.drop_link_tie(process, pid)
        notices.extend([(pid.node, (PAYLOAD_EXIT, process.pid, pid)) for pid in linked])
        if notices:
            self._endings.tell_all(notices, reason)
        if process.on_exit is not None:
            self.loop.call_soon(partial(process.on_exit, reason))

    def send_down(self, watcher: Pid, target: Pid | Atom, ref: Reference, reason: object) -> None:
        """Tell a watcher that its target is down."""
        self._endings.tell(watcher.node, (PAYLOAD_MONITOR_P_EXIT, target, watcher, ref), reason)

    def add_watcher(self, process: Process, watcher: Pid, ref: Reference) -> None:
        """Note a monitor of a process here, such as one that came with a spawn request."""
        self.note_watcher(process, watcher, process.pid, ref)

    def note_watcher(
        self, process: Process, watcher: Pid, target: Pid | Atom, ref: Reference
    ) -> None:
        """Note a monitor of a process here, and under which name or pid it is monitored."""
        process.watchers[ref] = (watcher, target)
        self.ties_with(watcher.node).watchers.add((process, ref))

    def drop_watcher(self, process: Process, ref: Reference) -> None:
        """Remove the monitor of a process here."""
        entry = process.watchers.pop(ref, None)
        ties = None if entry is None else self.ties_by_node.get(entry[0].node)
        if ties is not None:
            ties.watchers.discard((process, ref))

    def add_link(self, process: Process, pid: Pid) -> None:
        """Note a link that the other end has made: by a LINK signal, or along with a spawn."""
        if not process.alive:
            self.signal(pid.node, (PAYLOAD_EXIT, process.pid, pid), NOPROC)
            return
        process.links.received_link(pid)
        self.ties_with(pid.node).links.add((process, pid))

    def drop_link_tie(self, process: Process, pid: Pid) -> None:
        """Remove the entry of a link from the table of the other end's node."""
        ties = self.ties_by_node.get(pid.node)
        if ties is not None:
            ties.links.discard((process, pid))

    def close(self) -> None:
        """End every process with reason `shutdown`."""
        for process in tuple(self.by_pid.values()):
            self.terminate(process, SHUTDOWN)
        self.closed = True
