"""The link table, alone and in two nodes whose signals cross in every order."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.inside import inside
from uds_dist import Atom, Config, EventLoop, Mailbox, Pid
from uds_dist.processes.links import LinkTable
from uds_dist.processes.process import Process
from uds_dist.processes.signals import Incoming
from uds_dist.processes.table import Processes
from uds_dist.protocol import control as ctl
from uds_dist.transport.backpressure import Pressure

A, B = Pid("a@h", 1, 0, 1), Pid("b@h", 1, 0, 1)


# --- one table, rule by rule of the guide ---------------------------------------------------------


def test_a_link_is_sent_once() -> None:
    table = LinkTable()
    assert table.link(B)
    assert not table.link(B)
    assert B in table and table.active() == [B]


def test_an_unlink_is_sent_for_an_active_link_only() -> None:
    table = LinkTable()
    assert not table.unlink(B, 1)
    table.link(B)
    assert table.unlink(B, 1)
    assert not table.unlink(B, 2)
    assert B not in table and table.known(B) and table.active() == [] and table.all() == [B]


def test_a_link_that_crosses_our_unlink_is_ignored() -> None:
    table = LinkTable()
    table.link(B)
    table.unlink(B, 1)
    table.received_link(B)
    assert B not in table
    table.received_ack(B, 1)
    assert not table.known(B)


def test_the_ack_of_an_earlier_unlink_does_not_count() -> None:
    table = LinkTable()
    table.link(B)
    table.unlink(B, 1)
    assert table.link(B)  # relinked before the acknowledgement
    table.received_ack(B, 1)
    assert B in table
    table.unlink(B, 2)
    table.received_ack(B, 1)
    assert table.known(B)
    table.received_ack(B, 2)
    assert not table.known(B)


def test_an_ack_never_ends_an_active_link() -> None:
    table = LinkTable()
    table.link(B)
    table.received_ack(B, 0)
    assert B in table


def test_an_unlink_of_the_peer_leaves_our_own_outstanding() -> None:
    table = LinkTable()
    table.link(B)
    table.unlink(B, 1)
    table.received_unlink(B)
    assert table.known(B)
    table.received_ack(B, 1)
    assert not table.known(B)
    table.received_link(B)
    table.received_unlink(B)
    assert not table.known(B)


def test_an_exit_counts_for_an_active_link_only() -> None:
    table = LinkTable()
    assert not table.received_exit(B)
    table.link(B)
    assert table.received_exit(B) and not table.known(B)
    table.link(B)
    table.unlink(B, 1)
    assert not table.received_exit(B) and not table.known(B)


# --- two nodes and the wire between them ----------------------------------------------------------


@dataclass
class ModelLink:
    """What the guide says of one end: the information of one process about one link."""

    active: bool = True
    unlink_id: int | None = None


@dataclass
class ModelProcess:
    """An end of links and monitors by the text of the guide, sharing no code with the package."""

    alive: bool = True
    links: dict[Pid, ModelLink] = field(default_factory=dict)
    watching: dict[object, Pid] = field(default_factory=dict)
    watched_by: dict[object, Pid] = field(default_factory=dict)
    heard: list[tuple[object, ...]] = field(default_factory=list)
    unlinks: int = 0


class Model:
    """Two nodes by the text of the guide; every process traps exits."""

    def __init__(self, wires: dict[str, deque[tuple[object, ...]]]) -> None:
        self.processes: dict[Pid, ModelProcess] = {}
        self.wires = wires

    def put(self, to: Pid, *signal: object) -> None:
        self.wires[to.node].append(signal)

    def link(self, me: Pid, other: Pid) -> None:
        info = self.processes[me].links.get(other)
        if info is not None and info.active:
            return
        self.processes[me].links[other] = ModelLink()
        self.put(other, "LINK", me, other)

    def unlink(self, me: Pid, other: Pid) -> None:
        process = self.processes[me]
        info = process.links.get(other)
        if info is None or not info.active:
            return
        process.unlinks += 1
        info.active, info.unlink_id = False, process.unlinks
        self.put(other, "UNLINK_ID", me, other, (me, process.unlinks))

    def monitor(self, me: Pid, other: Pid, ref: object) -> None:
        self.processes[me].watching[ref] = other
        self.put(other, "MONITOR", me, other, ref)

    def demonitor(self, me: Pid, ref: object) -> None:
        other = self.processes[me].watching.pop(ref, None)
        if other is not None:
            self.put(other, "DEMONITOR", me, other, ref)

    def end(self, me: Pid, reason: object, refs: list[object]) -> None:
        process = self.processes[me]
        process.alive = False
        for ref in refs:  # the order is free, and the package's
            other = process.watching.pop(ref)
            self.put(other, "DEMONITOR", me, other, ref)
        assert not process.watching
        for ref, other in process.watched_by.items():
            self.put(other, "DOWN", me, other, ref, reason)
        for other, info in process.links.items():
            if info.active:
                self.put(other, "EXIT", me, other, reason)
        process.links.clear()
        process.watched_by.clear()

    def deliver(self, kind: str, sender: Pid, to: Pid, *rest: object) -> None:
        process = self.processes[to]
        links = process.links
        if kind == "LINK":
            if not process.alive:
                self.put(sender, "EXIT", to, sender, "noproc")
            elif sender not in links:
                links[sender] = ModelLink()
        elif kind == "UNLINK_ID":
            if sender in links and links[sender].active:
                del links[sender]
            self.put(sender, "ACK", to, sender, *rest)
        elif kind == "ACK":
            (unlink_id,) = rest
            info = links.get(sender)
            if info is not None and not info.active and (to, info.unlink_id) == unlink_id:
                del links[sender]
        elif kind == "EXIT":
            info = links.pop(sender, None)
            if info is not None and info.active:
                process.heard.append(("EXIT", sender, *rest))
        elif kind == "MONITOR":
            if process.alive:
                process.watched_by[rest[0]] = sender
            else:
                self.put(sender, "DOWN", to, sender, rest[0], "noproc")
        elif kind == "DEMONITOR":
            process.watched_by.pop(rest[0], None)
        elif kind == "DOWN" and process.watching.pop(rest[0], None) is not None:
            process.heard.append(("DOWN", sender, rest[1]))


class Wires:
    """A router to nowhere else."""

    def __init__(
        self, route: Callable[[str, tuple[object, ...], object], None]
    ) -> None:
        self.pressure = Pressure()
        self.route = self.route_message = route

    def hold_back(self, process: Process) -> None:
        raise AssertionError(f"{process} is full")


class World:
    """The package's two nodes over wires that deliver when the schedule says so."""

    def __init__(self, loop: EventLoop, per_node: int) -> None:
        self.wires: dict[str, deque[tuple[tuple[object, ...], object]]] = {
            "a@h": deque(),
            "b@h": deque(),
        }
        self.model_wires: dict[str, deque[tuple[object, ...]]] = {"a@h": deque(), "b@h": deque()}
        self.model = Model(self.model_wires)
        self.boxes: dict[Pid, Mailbox] = {}
        self.incoming: dict[str, Incoming] = {}
        self.tables: dict[str, Processes] = {}
        self.heard: dict[Pid, list[tuple[object, ...]]] = {}
        for name in self.wires:
            self.incoming[name] = Incoming(loop, Config(), name, 1, Wires(self.route))
            table = self.tables[name] = self.incoming[name].processes
            for _ in range(per_node):
                box = Mailbox(table, table.new_process(trap_exit=True))
                self.boxes[box.pid] = box
                self.heard[box.pid] = []
                self.model.processes[box.pid] = ModelProcess()

    def route(self, node: str, control: tuple[object, ...], payload: object) -> None:
        self.wires[node].append((control, payload))

    def deliver(self, to: str) -> None:
        control, payload = self.wires[to].popleft()
        kind, *rest = self.model_wires[to].popleft()
        assert isinstance(kind, str)
        other = "b@h" if to == "a@h" else "a@h"
        self.incoming[to].received(other, control, payload)
        sender, receiver, *rest = rest
        assert isinstance(sender, Pid) and isinstance(receiver, Pid)
        self.model.deliver(kind, sender, receiver, *rest)

    def compare(self) -> None:
        for pid, box in self.boxes.items():
            expected = self.model.processes[pid]
            assert box.alive == expected.alive
            while (message := box.poll()) or isinstance(message, tuple):
                assert isinstance(message, tuple)
                if message[0] == "EXIT":
                    self.heard[pid].append(("EXIT", message[1], str(message[2])))
                else:
                    self.heard[pid].append(("DOWN", message[3], str(message[4])))
            assert self.heard[pid] == expected.heard
            if not box.alive:
                continue
            actual = {link: link in inside(box).links for link in inside(box).links.all()}
            assert actual == {link: info.active for link, info in expected.links.items()}
            assert inside(box).monitors == set(expected.watching)
            assert set(inside(box).watchers) == set(expected.watched_by)
        for to, wire in self.wires.items():
            assert len(wire) == len(self.model_wires[to])


def run_schedule(seed: int) -> None:
    """One random schedule of two nodes with two processes each, to its end."""
    rng = random.Random(seed)
    with EventLoop() as loop:
        world = World(loop, per_node=2)
        model = world.model
        for step in range(60):
            me = rng.choice(list(world.boxes))
            box = world.boxes[me]
            other = rng.choice([pid for pid in world.boxes if pid.node != me.node])
            action = rng.choices(
                ("deliver", "link", "unlink", "monitor", "demonitor", "exit"),
                (40, 25, 20, 8, 5, 2),
            )[0]
            if action == "deliver":
                waiting = [name for name, wire in world.wires.items() if wire]
                if waiting:
                    world.deliver(rng.choice(waiting))
            elif not box.alive:
                continue
            elif action == "link":
                box.link(other)
                model.link(me, other)
            elif action == "unlink":
                box.unlink(other)
                model.unlink(me, other)
            elif action == "monitor":
                model.monitor(me, other, box.monitor(other))
            elif action == "demonitor":
                refs = sorted(inside(box).monitors, key=str)
                if refs:
                    ref = rng.choice(refs)
                    assert box.demonitor(ref)
                    model.demonitor(me, ref)
            else:
                refs = list(inside(box).monitors)
                box.close(Atom(f"reason{step}"))
                model.end(me, f"reason{step}", list[object](refs))
            world.compare()
        while any(world.wires.values()):
            world.deliver(rng.choice([name for name, wire in world.wires.items() if wire]))
            world.compare()
        # Nothing is under way: both ends agree about every link, and no unlink is outstanding.
        for me, box in world.boxes.items():
            for pid in inside(box).links.all():
                assert pid in inside(box).links
                assert me in inside(world.boxes[pid]).links
        for box in world.boxes.values():
            if box.alive:
                box.close(Atom("end"))
        while any(wire for wire in world.wires.values()):
            for name, wire in world.wires.items():
                while wire:
                    other_node = "b@h" if name == "a@h" else "a@h"
                    world.incoming[name].received(other_node, *wire.popleft())
        for table in world.tables.values():
            assert not table.ties and not table.monitors and not table.by_pid


@pytest.mark.parametrize("block", range(10))
def test_a_thousand_random_schedules_agree_with_the_guide(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        run_schedule(seed)


def test_the_ids_of_unlinks_fit_64_bits_and_are_not_zero() -> None:
    with EventLoop() as loop:
        sent: list[tuple[object, ...]] = []
        wires = Wires(lambda _node, control, _payload: sent.append(control))
        table = Incoming(loop, Config(), "a@h", 1, wires).processes
        box = Mailbox(table, table.new_process())
        for _ in range(3):
            box.link(B)
            box.unlink(B)
        ids = [control[1] for control in sent if control[0] == ctl.UNLINK_ID]
        assert len(set(ids)) == 3 and all(isinstance(i, int) and 0 < i < 2**64 for i in ids)
