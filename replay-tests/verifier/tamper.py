#!/usr/bin/env python3
"""Alters copies of an exported log in many ways and checks that the verifier finds each, and says where.

usage: tamper.py EXPORT LEDGER CHECKPOINT_KEY
"""

import functools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import ed25519
import wire
from forge import export, note, pae, sign
from judge import Fold
from logfile import Entry, from_base64, read_export, read_key
from verify import check


class Case(NamedTuple):
    what: str
    data: bytes
    position: int | None  # where the verifier has to find it; None: it concerns no entry
    ledger: bytes
    key: bytes


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def cases(data: bytes, ledger: bytes, key: bytes) -> Iterator[Case]:
    original, fold = read_export(data), Fold()
    for entry in original.entries:
        fold.take(entry)
    entries, notes = original.entries, original.checkpoints
    events = [i for i, entry in enumerate(entries) if entry.verdict.number == 1]
    some = sorted({events[len(events) * part // 8] for part in range(1, 8)} | {events[-1]})

    def altered(what: str, position: int | None, changed: list[Entry], heads: list[bytes] = notes) -> Case:
        return Case(what, export(changed, heads), position, ledger, key)

    def put(position: int, **changes: Any) -> list[Entry]:
        return [*entries[:position], replace(entries[position], **changes), *entries[position + 1 :]]

    for i in some:
        value = entries[i].value
        envelope = wire.decode("Envelope", value)
        yield altered(f"a byte of the event at {i} flipped", i, put(i, value=flip(value, len(value) // 3)))
        yield altered(f"a byte of the signature at {i} flipped", i, put(i, value=flip(value, len(value) - 60)))
        yield altered(f"the time at {i} one millisecond later", i, put(i, time=entries[i].time + 1))
        forged = envelope["signatures"][0] | {"sig": sign(b"\x06" * 32, pae(envelope["payload"]))}
        changed = wire.encode("Envelope", envelope | {"signatures": [forged, *envelope["signatures"][1:]]})
        yield altered(f"the signature at {i} made by another key", i, put(i, value=changed))
        # What only the exporter can tell is bound by the verdict tree's root, which does not tell where.
        known = None if fold.judged[i].untold else i
        verdict = replace(entries[i].verdict, number=2, code="role-missing")
        yield altered(f"the verdict at {i} changed", known, put(i, verdict=verdict))
        verdict = replace(entries[i].verdict, digest=flip(entries[i].verdict.digest, 31))
        yield altered(f"the effects digest at {i} changed", known, put(i, verdict=verdict))
        yield altered(f"the entry at {i} dropped, the others renumbered", i, entries[:i] + entries[i + 1 :])
        yield altered(f"the entry at {i} put in twice", i + 1, entries[: i + 1] + entries[i:])
        if i + 1 < len(entries):
            swapped = [*entries[:i], entries[i + 1], entries[i], *entries[i + 2 :]]
            yield altered(f"the entries at {i} and {i + 1} swapped and renumbered", i, swapped)

    # Frames as they stand in the file, their numbers kept.
    frames, rest = [], data.split(b"\n", 3)[3]
    head, at = data[: -len(rest)], 0
    while at < len(rest):
        start = at
        _, at = wire.read_length(rest, at)
        frames.append(rest[start:at])
    for i in some[:-1]:
        yield Case(f"the frame at {i} dropped", head + b"".join(frames[:i] + frames[i + 1 :]), i, ledger, key)
        swapped_frames = [*frames[:i], frames[i + 1], frames[i], *frames[i + 2 :]]
        yield Case(f"the frames at {i} and {i + 1} swapped", head + b"".join(swapped_frames), i, ledger, key)
        yield Case(f"the file cut off within {i}", head + b"".join(frames[:i]) + frames[i][:-7], i, ledger, key)
        yield Case(f"the file cut off before {i}", head + b"".join(frames[:i]), i, ledger, key)
    yield Case("another ledger's id expected", data, 0, flip(ledger, 0), key)
    yield Case("another checkpoint key expected", data, 0, ledger, flip(key, 0))

    # Both checkpoints signed by another key than the genesis names.
    for tree, name in enumerate(["entry", "verdict"]):
        origin, size, root = notes[tree].decode().split("\n")[:3]
        heads = list(notes)
        heads[tree] = note(b"\x06" * 32, origin, int(size), from_base64(root))
        yield altered(f"the {name} tree's checkpoint signed by another key", None, entries, heads)
        heads[tree] = notes[tree].replace(f"\n{size}\n".encode(), f"\n{int(size) - 1}\n".encode())
        yield altered(f"the {name} tree's checkpoint over one entry less", None, entries, heads)
    yield altered("the two checkpoints exchanged", None, entries, notes[::-1])


def main() -> int:
    # The same signatures over and over: each needs to be checked once.
    ed25519.holds, ed25519.is_fit = functools.cache(ed25519.holds), functools.cache(ed25519.is_fit)
    data, ledger, key = Path(sys.argv[1]).read_bytes(), bytes.fromhex(sys.argv[2]), read_key(sys.argv[3])
    passed = failed = 0
    for case in cases(data, ledger, key):
        report = check(case.data, case.ledger, case.key)
        ranges = [failure for failure in report.failures if failure]
        where = "; ".join(
            f"{first}" if first == last else f"{first} to {last}" for first, last in dict.fromkeys(ranges)
        )
        if report.failures and (case.position is None or any(a <= case.position <= b for a, b in ranges)):
            print(f"ok    {case.what}: found" + (f" at {where}" if where else ""))
            passed += 1
        else:
            print(f"FAIL  {case.what}: " + (f"found at {where}" if report.failures else "not found"))
            print(*(f"        {line}" for line in report.lines), sep="\n")
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
