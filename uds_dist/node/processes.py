"""The processes of a node and the signals between them and the rest of the world.

Outgoing signals of a process go to the node of their destination; those for this same node are
control messages too, and take the way of incoming ones, so that a link or a monitor works alike
whether the other end is here or there. They are worked off one after the other, never from within
one another: a chain of linked processes may be as long as it likes.

User code runs only inside `run_once`. A message of a peer goes straight to `on_message`; anything
else for such a process, a local message or the notice of a lost connection, waits in its queue for
the next round, and what comes meanwhile waits behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from secrets import randbits

from uds_dist.config import Config
from uds_dist.errors import ClosedError, ConfigError, EncodeError, UdsDistError
from uds_dist.etf.terms import Atom, Pid, Reference
from uds_dist.node.links import Monitor
from uds_dist.node.mailbox import Destination, Mailbox
from uds_dist.protocol.control import (
    ALIAS_SEND,
    ALTACT_SIG_SEND,
    DEMONITOR_P,
    LINK,
    MONITOR_P,
    NO_PAYLOAD,
    PAYLOAD_EXIT,
    PAYLOAD_EXIT2,
    PAYLOAD_MONITOR_P_EXIT,
    REG_SEND,
    SEND_SENDER,
    SPAWN_REPLY,
    SPAWN_REQUEST,
    UNLINK_ID,
    UNLINK_ID_ACK,
    AliasSend,
    AliasSendTt,
    AltactFlag,
    AltactSigSend,
    AltactSigSendTt,
    ControlMessage,
    DemonitorP,
    Exit,
    Exit2,
    Exit2Tt,
    ExitTt,
    GroupLeader,
    Link,
    MonitorP,
    MonitorPExit,
    NodeLink,
    PayloadExit,
    PayloadExit2,
    PayloadExit2Tt,
    PayloadExitTt,
    PayloadMonitorPExit,
    RegSend,
    RegSendTt,
    Send,
    SendSender,
    SendSenderTt,
    SendTt,
    SpawnFlag,
    SpawnReply,
    SpawnReplyTt,
    SpawnRequest,
    SpawnRequestTt,
    Unlink,
    UnlinkId,
    UnlinkIdAck,
    parse,
)
from uds_dist.transport.loop import EventLoop

NORMAL = Atom("normal")
KILL = Atom("kill")
KILLED = Atom("killed")
NOPROC = Atom("noproc")
NOCONNECTION = Atom("noconnection")
NOTSUP = Atom("notsup")
DOWN = Atom("DOWN")
EXIT = Atom("EXIT")
PROCESS = Atom("process")
UNUSED = Atom("")

# How a signal leaves for another node: (node, control message, payload).
Route = Callable[[str, tuple[object, ...], object], None]


class Ties:
    """All that ties processes of this node to one other node, for the day it goes down."""

    __slots__ = ("links", "monitors", "spawns", "watchers")

    def __init__(self) -> None:
        self.links: set[tuple[Mailbox, Pid]] = set()
        self.monitors: set[Reference] = set()  # held here
        self.watchers: set[tuple[Mailbox, Reference]] = set()  # held there
        self.spawns: set[Reference] = set()  # requests without a reply yet

    def __bool__(self) -> bool:
        return bool(self.links or self.monitors or self.watchers or self.spawns)


class Processes:
    """The process table of one node.

    Args:
        loop: runs what must wait for the next round.
        config: the mailbox limit is used.
        name: the node's name.
        creation: the node's creation, which is in every pid and reference.
        route: sends a signal to another node; never refuses, never raises NoConnection.
        route_message: the same for a program's own messages; raises Busy when too much waits.
    """

    def __init__(
        self,
        loop: EventLoop,
        config: Config,
        name: str,
        creation: int,
        route: Route,
        route_message: Route,
    ) -> None:
        self.name = Atom(name)
        self.creation = creation
        self.by_pid: dict[Pid, Mailbox] = {}
        self.by_name: dict[str, Mailbox] = {}
        self.aliases: dict[Reference, Callable[[object], None]] = {}
        self.monitors: dict[Reference, Monitor] = {}
        self.spawns: dict[Reference, tuple[str, Callable[[SpawnReply | SpawnReplyTt], None]]] = {}
        self.ties: dict[str, Ties] = {}
        # What an incoming spawn request calls: (node, request, argument list).
        self.on_spawn: Callable[[str, SpawnRequest | SpawnRequestTt, object], None] | None = None
        # What is told that a peer's message went into a full mailbox: (node, mailbox).
        self.on_full: Callable[[str, Mailbox], None] | None = None
        # Why the node went down whose monitors fire at this moment.
        self.down_error: UdsDistError | None = None
        self._loop = loop
        self._max_mailbox_length = config.max_mailbox_length
        self._route = route
        self._route_message = route_message
        self._pid_numbers = count(1)
        # The first word counts; the others make two incarnations with the same creation differ.
        self._reference_numbers = count(1)
        self._reference_tail = (randbits(32), randbits(32))
        self._unlink_ids = count(1)
        self._local: deque[tuple[ControlMessage, object]] = deque()
        self._local_running = False
        self._closed = False
        self._handlers: dict[type, Callable[[str, ControlMessage, object], None]] = {
            Send: self._on_send,
            SendTt: self._on_send,
            SendSender: self._on_send,
            SendSenderTt: self._on_send,
            RegSend: self._on_reg_send,
            RegSendTt: self._on_reg_send,
            AliasSend: self._on_alias_send,
            AliasSendTt: self._on_alias_send,
            AltactSigSend: self._on_altact,
            AltactSigSendTt: self._on_altact,
            Link: self._on_link,
            Unlink: self._on_unlink,
            UnlinkId: self._on_unlink,
            UnlinkIdAck: self._on_unlink_ack,
            Exit: self._on_exit,
            ExitTt: self._on_exit,
            PayloadExit: self._on_exit,
            PayloadExitTt: self._on_exit,
            Exit2: self._on_exit2,
            Exit2Tt: self._on_exit2,
            PayloadExit2: self._on_exit2,
            PayloadExit2Tt: self._on_exit2,
            MonitorP: self._on_monitor,
            DemonitorP: self._on_demonitor,
            MonitorPExit: self._on_monitor_exit,
            PayloadMonitorPExit: self._on_monitor_exit,
            GroupLeader: self._on_group_leader,
            SpawnRequest: self._on_spawn_request,
            SpawnRequestTt: self._on_spawn_request,
            SpawnReply: self._on_spawn_reply,
            SpawnReplyTt: self._on_spawn_reply,
            NodeLink: self._on_node_link,
        }

    # -- making ----------------------------------------------------------------------------

    def new_mailbox(
        self,
        name: str | None = None,
        on_message: Callable[[object], object] | None = None,
        trap_exit: bool = False,
        pid: Pid | None = None,
    ) -> Mailbox:
        """Start a process, registered under `name` if one is given; `pid` is from `new_pid`."""
        if self._closed:
            raise ClosedError(f"the node {self.name} is closed")
        pid = self.new_pid() if pid is None else pid
        process = Mailbox(self._loop, self, pid, on_message, trap_exit)
        if name is not None:
            self.register(process, name)
        self.by_pid[pid] = process
        return process

    def new_pid(self) -> Pid:
        """A pid that no process of this node has, had or will have."""
        number = next(self._pid_numbers)
        return Pid(self.name, number & 0xFFFFFFFF, number >> 32, self.creation)

    def new_reference(self) -> Reference:
        """A reference that no other of this node equals."""
        number = next(self._reference_numbers)
        # Older software reads only 18 bits of the first word.
        words = (number & 0x3FFFF, (self._reference_tail[0] + (number >> 18)) & 0xFFFFFFFF)
        return Reference(self.name, self.creation, (*words, self._reference_tail[1]))

    def register(self, process: Mailbox, name: str) -> None:
        """Give a process a registered name."""
        if process.name is not None:
            raise ConfigError(f"the process is registered as {process.name} already")
        if not name or name == "undefined":
            raise ConfigError(f"{name!r} cannot be a registered name")
        if name in self.by_name:
            raise ConfigError(f"the name {name} is taken by {self.by_name[name].pid}")
        process.name = Atom(name)
        self.by_name[name] = process

    def find(self, dest: Pid | str) -> Mailbox | None:
        """The living process of a pid or a registered name."""
        return self.by_pid.get(dest) if isinstance(dest, Pid) else self.by_name.get(dest)

    def ties_with(self, node: str) -> Ties:
        """The ties with a node, to be added to."""
        ties = self.ties.get(node)
        if ties is None:
            ties = self.ties[node] = Ties()
        return ties

    def _untie(self, node: str) -> None:
        if not self.ties[node]:
            del self.ties[node]

    # -- signals out -----------------------------------------------------------------------

    def send(self, sender: Mailbox, dest: Destination, message: object) -> None:
        """Send a program's message; see `Mailbox.send`."""
        if self._closed:
            raise ClosedError(f"the node {self.name} is closed")
        control: tuple[object, ...]
        if type(dest) is Pid:
            node: str = dest.node
            control = (SEND_SENDER, sender.pid, dest)
        elif type(dest) is Reference:
            node = dest.node
            control = (ALIAS_SEND, sender.pid, dest)
        else:
            name, node = self.name_and_node(dest)
            control = (REG_SEND, sender.pid, UNUSED, Atom(name))
        if node == self.name:
            self.signal(node, control, message)
        else:
            self._route_message(node, control, message)

    def name_and_node(self, dest: object) -> tuple[str, str]:
        """Split a destination that is no pid into a registered name and a node."""
        if isinstance(dest, str):
            return dest, self.name
        if isinstance(dest, tuple) and len(dest) == 2:
            name, node = dest
            if isinstance(name, str) and isinstance(node, str):
                return name, node
        raise EncodeError(
            f"{dest!r} is no destination: use a Pid, a Reference, a registered name,"
            " or (name, node)"
        )

    def signal(self, node: str, control: tuple[object, ...], payload: object = NO_PAYLOAD) -> None:
        """Send a signal to a node, this one included."""
        if node != self.name:
            self._route(node, control, payload)
            return
        self._local.append((parse(control), payload))
        if not self._local_running:
            self._run_local()

    def _run_local(self) -> None:
        self._local_running = True
        try:
            while self._local:
                control, payload = self._local.popleft()
                self._handlers[type(control)](self.name, control, payload)
        finally:
            self._local_running = False

    def link(self, process: Mailbox, pid: Pid) -> None:
        """Send a link signal; see `Mailbox.link`."""
        if pid != process.pid and process.links.link(pid):
            self.ties_with(pid.node).links.add((process, pid))
            self.signal(pid.node, (LINK, process.pid, pid))

    def unlink(self, process: Mailbox, pid: Pid) -> None:
        """Send an unlink signal; see `Mailbox.unlink`."""
        unlink_id = next(self._unlink_ids)
        if process.links.unlink(pid, unlink_id):
            self.signal(pid.node, (UNLINK_ID, unlink_id, process.pid, pid))

    def monitor(self, process: Mailbox, dest: Pid | str | tuple[str, str]) -> Reference:
        """Start a monitor whose notice is a DOWN message; see `Mailbox.monitor`."""
        watched: object = dest
        if not isinstance(dest, Pid):
            name, node = self.name_and_node(dest)
            watched = (Atom(name), Atom(node))

        ref = self.new_reference()
        process.monitors.add(ref)
        self.start_monitor(process.pid, dest, ref, self._down_message(process, ref, watched))
        return ref

    def watch_spawned(self, process: Mailbox, pid: Pid, ref: Reference) -> None:
        """Note the monitor of a process that a spawn request has started."""
        process.monitors.add(ref)
        self.note_monitor(process.pid, pid, ref, self._down_message(process, ref, pid))

    def _down_message(
        self, process: Mailbox, ref: Reference, watched: object
    ) -> Callable[[object], None]:
        def on_down(reason: object) -> None:
            process.monitors.discard(ref)
            self.deliver(process, (DOWN, ref, PROCESS, watched, reason))

        return on_down

    def start_monitor(
        self,
        owner: Pid,
        dest: Pid | str | tuple[str, str],
        ref: Reference,
        on_down: Callable[[object], None],
    ) -> None:
        """Start a monitor whose notice is a call, for calls and spawned processes."""
        self.note_monitor(owner, dest, ref, on_down)
        monitor = self.monitors[ref]
        self.signal(monitor.node, (MONITOR_P, owner, monitor.target, ref))

    def note_monitor(
        self,
        owner: Pid,
        dest: Pid | str | tuple[str, str],
        ref: Reference,
        on_down: Callable[[object], None],
    ) -> None:
        """Note a monitor that the other node has set up already, as a spawn request does."""
        target: Pid | Atom
        if isinstance(dest, Pid):
            target, node = dest, dest.node
        else:
            name, node = self.name_and_node(dest)
            target = Atom(name)
        self.monitors[ref] = Monitor(ref, owner, target, node, on_down)
        self.ties_with(node).monitors.add(ref)

    def demonitor(self, process: Mailbox, ref: Reference) -> bool:
        """End a monitor of a mailbox; see `Mailbox.demonitor`."""
        if ref not in process.monitors:
            return False
        process.monitors.discard(ref)
        return self.stop_monitor(ref)

    def stop_monitor(self, ref: Reference) -> bool:
        """End a monitor; False when there is none of that reference any more."""
        monitor = self._forget_monitor(ref)
        if monitor is None:
            return False
        self.signal(monitor.node, (DEMONITOR_P, monitor.owner, monitor.target, ref))
        return True

    def _forget_monitor(self, ref: Reference) -> Monitor | None:
        monitor = self.monitors.pop(ref, None)
        if monitor is not None:
            self.ties[monitor.node].monitors.discard(ref)
            self._untie(monitor.node)
        return monitor

    def make_alias(self, process: Mailbox) -> Reference:
        """Make an alias of a mailbox; see `Mailbox.alias`."""
        ref = self.new_reference()
        process.aliases.add(ref)
        self.aliases[ref] = lambda message: self.deliver(process, message)
        return ref

    def drop_alias(self, process: Mailbox, ref: Reference) -> bool:
        """End an alias of a mailbox; see `Mailbox.unalias`."""
        if ref not in process.aliases:
            return False
        process.aliases.discard(ref)
        del self.aliases[ref]
        return True

    def exit_signal(self, sender: Pid, dest: Pid, reason: object) -> None:
        """Send an exit signal; see `Mailbox.exit`."""
        self.signal(dest.node, (PAYLOAD_EXIT2, sender, dest), reason)

    def request_spawn(
        self,
        node: str,
        control: tuple[object, ...],
        arguments: list[object],
        on_reply: Callable[[SpawnReply | SpawnReplyTt], None],
    ) -> None:
        """Send a spawn request; its reply, or a made-up one at `noconnection`, goes to a call."""
        request = control[1]
        assert isinstance(request, Reference)
        self.spawns[request] = (node, on_reply)
        self.ties_with(node).spawns.add(request)
        self.signal(node, control, arguments)

    def forget_spawn(self, request: Reference) -> None:
        """Forget a spawn request that could not be sent."""
        entry = self.spawns.pop(request, None)
        if entry is not None:
            self.ties[entry[0]].spawns.discard(request)
            self._untie(entry[0])

    def terminate(self, process: Mailbox, reason: object) -> None:
        """End a process: every tie of it gets its signal."""
        if self.by_pid.pop(process.pid, None) is None:
            return
        process.ended(reason)
        if process.name is not None and self.by_name.get(process.name) is process:
            del self.by_name[process.name]
        for alias in process.aliases:
            del self.aliases[alias]
        process.aliases.clear()
        for ref in tuple(process.monitors):
            self.stop_monitor(ref)
        process.monitors.clear()
        for ref, (watcher, target) in tuple(process.watchers.items()):
            self._drop_watcher(process, ref)
            self._send_down(watcher, target, ref, reason)
        for pid in process.links.active():
            process.links.drop(pid)
            self._drop_link_tie(process, pid)
            self.signal(pid.node, (PAYLOAD_EXIT, process.pid, pid), reason)
        if process.on_exit is not None:
            on_exit = process.on_exit
            self._loop.call_soon(lambda: on_exit(reason))

    def _send_down(self, watcher: Pid, target: Pid | Atom, ref: Reference, reason: object) -> None:
        self.signal(watcher.node, (PAYLOAD_MONITOR_P_EXIT, target, watcher, ref), reason)

    def _drop_watcher(self, process: Mailbox, ref: Reference) -> None:
        watcher, _target = process.watchers.pop(ref)
        ties = self.ties.get(watcher.node)
        if ties is not None:
            ties.watchers.discard((process, ref))
            self._untie(watcher.node)

    def _drop_link_tie(self, process: Mailbox, pid: Pid) -> None:
        ties = self.ties.get(pid.node)
        if ties is not None:
            ties.links.discard((process, pid))
            self._untie(pid.node)

    # -- delivery --------------------------------------------------------------------------

    def deliver(self, process: Mailbox, message: object) -> None:
        """Put a message where the process finds it, without running user code here."""
        if process.alive:
            process.queue.append(message)
            if process.on_message is not None and len(process.queue) == 1:
                self._loop.call_soon(lambda: self._drain(process))

    def _drain(self, process: Mailbox) -> None:
        """Hand an `on_message` process what waits for it, but not what comes meanwhile."""
        queue = process.queue
        try:
            for _ in range(len(queue)):
                if not process.alive or process.on_message is None:
                    return
                # Taken out when its turn is over: what comes meanwhile must wait behind it.
                try:
                    process.on_message(queue[0])
                finally:
                    queue.popleft()
        finally:
            if queue and process.alive:
                self._loop.call_soon(lambda: self._drain(process))

    def _deliver_now(self, node: str, process: Mailbox, message: object) -> None:
        if process.on_message is None:
            process.queue.append(message)
            if len(process.queue) >= self._max_mailbox_length and self.on_full is not None:
                self.on_full(node, process)
        elif process.queue or node == self.name:
            self.deliver(process, message)
        else:
            process.on_message(message)

    # -- signals in ------------------------------------------------------------------------

    def received(self, node: str, control: tuple[object, ...], payload: object) -> None:
        """Act on a control message of a peer.

        Raises:
            RemoteProtocolError: it is none.
        """
        message = parse(control, payload is not NO_PAYLOAD)
        self._handlers[type(message)](node, message, payload)

    def _on_send(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (Send, SendTt, SendSender, SendSenderTt))
        process = self.by_pid.get(control.to_pid)
        if process is not None:
            self._deliver_now(node, process, payload)

    def _on_reg_send(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (RegSend, RegSendTt))
        process = self.by_name.get(control.to_name)
        if process is not None:
            self._deliver_now(node, process, payload)

    def _on_alias_send(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (AliasSend, AliasSendTt))
        self._to_alias(control.alias, payload)

    def _to_alias(self, alias: Reference, message: object) -> None:
        receiver = self.aliases.get(alias)
        if receiver is not None:
            receiver(message)

    def _on_altact(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (AltactSigSend, AltactSigSendTt))
        dest = control.to
        if control.flags & AltactFlag.EXIT:
            process = self._owner_of(dest)
            if process is not None:
                self._exit2(process, control.from_pid, payload)
        elif isinstance(dest, Reference):
            self._to_alias(dest, payload)
        else:
            process = self.find(dest)
            if process is not None:
                self._deliver_now(node, process, payload)

    def _owner_of(self, dest: Pid | Atom | Reference) -> Mailbox | None:
        if not isinstance(dest, Reference):
            return self.find(dest)
        for process in self.by_pid.values():  # rare: an exit signal to an alias
            if dest in process.aliases:
                return process
        return None

    def _on_link(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, Link)
        process = self.by_pid.get(control.to_pid)
        if process is None:
            self.signal(node, (PAYLOAD_EXIT, control.to_pid, control.from_pid), NOPROC)
            return
        process.links.received_link(control.from_pid)
        self.ties_with(control.from_pid.node).links.add((process, control.from_pid))

    def _on_unlink(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (Unlink, UnlinkId))
        process = self.by_pid.get(control.to_pid)
        if process is not None:
            process.links.received_unlink(control.from_pid)
            self._drop_link_if_gone(process, control.from_pid)
        if isinstance(control, UnlinkId):
            self.signal(node, (UNLINK_ID_ACK, control.id, control.to_pid, control.from_pid))

    def _on_unlink_ack(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, UnlinkIdAck)
        process = self.by_pid.get(control.to_pid)
        if process is not None:
            process.links.received_ack(control.from_pid, control.id)
            self._drop_link_if_gone(process, control.from_pid)

    def _drop_link_if_gone(self, process: Mailbox, pid: Pid) -> None:
        if not process.links.known(pid):
            self._drop_link_tie(process, pid)

    def _on_exit(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (Exit, ExitTt, PayloadExit, PayloadExitTt))
        reason = control.reason if isinstance(control, (Exit, ExitTt)) else payload
        process = self.by_pid.get(control.to_pid)
        if process is not None:
            self._link_broke(process, control.from_pid, reason)

    def _link_broke(self, process: Mailbox, pid: Pid, reason: object) -> None:
        active = process.links.received_exit(pid)
        self._drop_link_tie(process, pid)
        if not active:
            return
        if process.trap_exit:
            self.deliver(process, (EXIT, pid, reason))
        elif reason != NORMAL:
            self.terminate(process, reason)

    def _on_exit2(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (Exit2, Exit2Tt, PayloadExit2, PayloadExit2Tt))
        reason = control.reason if isinstance(control, (Exit2, Exit2Tt)) else payload
        process = self.by_pid.get(control.to_pid)
        if process is not None:
            self._exit2(process, control.from_pid, reason)

    def _exit2(self, process: Mailbox, sender: Pid, reason: object) -> None:
        if reason == KILL and isinstance(reason, Atom):
            self.terminate(process, KILLED)
        elif process.trap_exit:
            self.deliver(process, (EXIT, sender, reason))
        elif reason != NORMAL or sender == process.pid:
            self.terminate(process, reason)

    def _on_monitor(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, MonitorP)
        process = self.find(control.to_proc)
        if process is None:
            self._send_down(control.from_pid, control.to_proc, control.ref, NOPROC)
            return
        process.watchers[control.ref] = (control.from_pid, control.to_proc)
        self.ties_with(control.from_pid.node).watchers.add((process, control.ref))

    def add_watcher(self, process: Mailbox, watcher: Pid, ref: Reference) -> None:
        """Note a monitor that came with a spawn request."""
        process.watchers[ref] = (watcher, process.pid)
        self.ties_with(watcher.node).watchers.add((process, ref))

    def add_link(self, process: Mailbox, pid: Pid) -> None:
        """Note a link that came with a spawn request."""
        process.links.received_link(pid)
        self.ties_with(pid.node).links.add((process, pid))

    def _on_demonitor(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, DemonitorP)
        process = self.find(control.to_proc)
        if process is not None and control.ref in process.watchers:
            self._drop_watcher(process, control.ref)
            if process.on_unwatched is not None:
                process.on_unwatched(control.ref)

    def _on_monitor_exit(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (MonitorPExit, PayloadMonitorPExit))
        reason = control.reason if isinstance(control, MonitorPExit) else payload
        monitor = self._forget_monitor(control.ref)
        if monitor is not None:
            monitor.on_down(reason)

    def _on_group_leader(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, GroupLeader)
        process = self.by_pid.get(control.to_pid)
        if process is not None:
            process.group_leader = control.from_pid

    def _on_spawn_request(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (SpawnRequest, SpawnRequestTt))
        if self.on_spawn is None:
            self.signal(node, (SPAWN_REPLY, control.req_id, control.from_pid, 0, NOTSUP))
        else:
            self.on_spawn(node, control, payload)

    def _on_spawn_reply(self, node: str, control: ControlMessage, payload: object) -> None:
        assert isinstance(control, (SpawnReply, SpawnReplyTt))
        entry = self.spawns.pop(control.req_id, None)
        if entry is not None:
            self.ties[entry[0]].spawns.discard(control.req_id)
            entry[1](control)
            if entry[0] in self.ties:
                self._untie(entry[0])

    def _on_node_link(self, node: str, control: ControlMessage, payload: object) -> None:
        """Obsolete, and without effect in every node that ever knew it."""

    # -- the end of a connection -----------------------------------------------------------

    def node_down(self, node: str, error: UdsDistError) -> None:
        """Fire everything that was tied to a node: reason `noconnection`, each exactly once."""
        ties = self.ties.pop(node, None)
        if ties is None:
            return
        self.down_error = error
        try:
            self._fire(ties)
        finally:
            self.down_error = None

    def _fire(self, ties: Ties) -> None:
        for process, ref in ties.watchers:
            process.watchers.pop(ref, None)
            if process.on_unwatched is not None:
                process.on_unwatched(ref)
        for request in ties.spawns:
            _node, on_reply = self.spawns.pop(request)
            on_reply(SpawnReply(SPAWN_REPLY, request, self._nobody(), SpawnFlag(0), NOCONNECTION))
        for ref in ties.monitors:
            monitor = self.monitors.pop(ref, None)
            if monitor is not None:
                monitor.on_down(NOCONNECTION)
        for process, pid in ties.links:
            if process.alive:
                self._link_broke(process, pid, NOCONNECTION)
            else:
                process.links.drop(pid)

    def _nobody(self) -> Pid:
        return Pid(self.name, 0, 0, self.creation)

    def close(self) -> None:
        """End every process with reason `shutdown`, with no way back."""
        for process in tuple(self.by_pid.values()):
            self.terminate(process, Atom("shutdown"))
        self._closed = True


__all__ = ["Processes", "Route", "Ties"]
