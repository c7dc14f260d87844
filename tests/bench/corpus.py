"""The terms for measuring the codec."""

from __future__ import annotations

from uds_dist import Atom, ImproperList, Pid, Reference, encode

MIB = 1024 * 1024
PEER = Atom("a@localhost")
FROM = Pid(PEER, 117, 0, 0x5F3A9C11)
REFERENCE = Reference(PEER, 0x5F3A9C11, (21_551, 3_145_469_953, 1_094_795_585))
TAG = ImproperList((Atom("alias"),), REFERENCE)


def corpus() -> dict[str, bytes]:
    """The corpus in the External Term Format; `process_info` comes from the BEAM."""
    terms: dict[str, object] = {
        "rpc reply": (REFERENCE, Atom("return"), PEER),
        "gen_call": (Atom("$gen_call"), (FROM, TAG), Atom("get")),
        "map of 200 maps": {
            number: {
                Atom("id"): number,
                Atom("name"): b"name",
                Atom("tags"): [Atom("a"), Atom("b")],
                Atom("ok"): True,
            }
            for number in range(1, 201)
        },
        "10,000 small ints": list(range(1, 10_001)),
        "5,000 floats": [number * 1.1 for number in range(1, 5_001)],
        "2,000 tuples": [
            (Atom("item"), number, b"binary value", Atom("ok")) for number in range(1, 2_001)
        ],
        "300 big integers": [(1 << (64 + number)) + number for number in range(1, 301)],
        "1 MiB binary": b"x" * MIB,
    }
    return {name: encode(term) for name, term in terms.items()}


PROCESS_INFO = "process_info"
