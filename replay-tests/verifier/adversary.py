#!/usr/bin/env python3
"""Makes events, good and bad, that a ledger has to judge as formats.md says: one envelope in hex a line.

usage: adversary.py EXPORT SEED.key... > events

EXPORT is a ledger's export, after which its policy permits root admins to do kinds 30 to 33; the keys are those of its
two root actors, in their order. Printed is a line for each event: what formats.md makes of it (accepted, duplicate or a
code), and the envelope in hex, for `attestune log append`.
"""

import sys
from pathlib import Path
from typing import Any

import ed25519
import wire
from forge import envelope, pae, possession, public, scalar, secret
from judge import Fold, keyid_of
from logfile import read_export
from wire import Message

NEVER = 2**64 - 1


class Author:
    def __init__(self, fold: Fold, seeds: list[bytes]):
        assert fold.ledger
        self.fold, self.ledger = fold, fold.ledger["ledger_id"]
        self.seeds = dict(zip(fold.ledger["root_actors"], seeds, strict=True))
        self.roots = list(self.seeds)
        self.first = self.roots[0]
        self.seen: Message = {"size": len(fold.judged), "root": fold.entries.roots[-1]}
        self.made: list[tuple[str, bytes]] = []

    def payload(self, kind: int, changes: Message, **body: Any) -> bytes:
        event = wire.new(
            "Event", id=len(self.made).to_bytes(16, "big"), ledger=self.ledger, actor=self.first, seen=dict(self.seen)
        )
        message = wire.KINDS.get(kind)
        if message:
            event[str(kind)] = wire.new(message, **body)
        return wire.encode("Event", event | changes)

    def raw(self, code: str, value: bytes) -> bytes:
        """`code` is what the ledger has to say of it, empty for accepted."""
        self.made.append((code, value))
        return value

    def event(
        self, code: str, kind: int, signers: list[bytes] | None = None, changes: Message | None = None, **body: Any
    ) -> bytes:
        seeds = self.all() if kind in (20, 21, 22, 24) and signers is None else signers or [self.seeds[self.first]]
        return self.raw(code, envelope(self.payload(kind, changes or {}, **body), *seeds))

    def all(self) -> list[bytes]:
        return [self.seeds[root] for root in self.roots]

    def key(self, actor: str, seed: bytes, **changes: Any) -> Message:
        return {
            "actor": actor, "printed_name": actor.title(), "actor_kind": 1, "algorithm": 1, "public_key": public(seed),
            "possession": possession(self.ledger, actor, seed), "custody": 1,
        } | changes  # fmt: skip

    # What follows is in the order in which it is appended.

    def write(self) -> None:
        self.garbage()
        self.guards()
        self.keys_and_roles()
        self.policies()
        self.clock()

    def garbage(self) -> None:
        seed = self.seeds[self.first]
        grant = self.payload(32, {}, actor=self.first, role=4)
        signed = wire.decode("Envelope", envelope(grant, seed))
        plain = wire.encode("Envelope", signed)
        for value in [
            b"", b"hello", plain[:-1], envelope(grant, seed, type_="text/plain"), plain + b"\x00\x00", plain + b"\x27",
            plain + b"\x20" + b"\xff" * 10 + b"\x01", plain + b"\x23", plain + b"\x23\x2c", plain + b"\x24",
            plain + b"\x18\x01", plain + b"\x21\x00",
        ]:  # fmt: skip
            self.raw("not-an-envelope", value)
        for value in [
            plain + b"\x20\x01", plain + b"\x23\x08\x01\x24", plain + b"\x21" + bytes(8), plain + b"\x12\x00"
            + wire.delimited(2, signed["payload_type"].encode()), b"\x8a\x00" + plain[1:],
            wire.delimited(1, b"") + plain,
        ]:  # fmt: skip
            self.raw("not-canonical", value)
        self.raw("not-an-envelope", plain + b"\x12\x00")  # the last payload type counts
        for depth in (50, 99, 100, 101, 150):
            self.raw("not-canonical" if depth <= 100 else "not-an-envelope", plain + b"\x23" * depth + b"\x24" * depth)
        self.raw("not-an-envelope", plain + b"\x80\x80\x80\x80\x10\x00")  # field 2^29
        self.raw("not-canonical", plain + b"\xf8\xff\xff\xff\x0f\x00")  # field 2^29 - 1
        self.raw("not-an-envelope", plain + b"\x20" + b"\xff" * 9 + b"\x02")  # a varint of 65 bits
        self.raw("not-canonical", plain + b"\x20" + b"\xff" * 9 + b"\x01")
        self.raw("not-canonical", plain + b"\x20" + b"\x80" * 9 + b"\x00")
        signature = signed["signatures"][0]
        others = [signature | {"keyid": f"{i:032x}"} for i in range(17)]
        for signatures in ([], others, [signature, signature], [others[1], others[0]]):
            self.raw("signatures-unordered", wire.encode("Envelope", signed | {"signatures": signatures}))

        for code, payload in [
            ("not-an-envelope", grant[:-1]),
            ("not-an-envelope", grant + b"\x08\x01"),
            ("not-an-envelope", grant.replace(b"\x1a" + bytes([len(self.first)]), b"\x1a\xff", 1)),
            ("not-an-envelope", b"\x1a\x01\xff" + grant),
            ("not-canonical", b"\x1a\x01a" + grant),
            ("not-canonical", grant + wire.delimited(8, b"")),
            ("not-canonical", grant + wire.delimited(33, b"")),
            ("not-canonical", wire.delimited(124, b"") + grant),
            ("not-canonical", grant + wire.delimited(124, b"")),
            ("not-canonical", grant + wire.delimited(48, b"")),
            ("not-canonical", self.payload(0, {}) + wire.delimited(124, b"")),
            ("not-canonical", self.payload(0, {}) + wire.delimited(48, b"") * 2),
            ("not-canonical", self.payload(0, {}) + b"\x82\x83\x00\x00"),
            ("not-canonical", self.payload(0, {}) + b"\x82\x03\x80\x00"),
            ("not-an-envelope", self.payload(0, {}) + b"\x80\x03\x00"),  # a body that is a number
            ("not-an-envelope", grant[:-1] + b"\x84\x00"),
            ("not-canonical", self.payload(0, {}) + wire.delimited(32, b"\x10\x80\x80\x80\x80\x08")),  # role 2^31
            ("not-canonical", self.payload(0, {}) + wire.delimited(32, b"\x10\x84\x80\x80\x80\x10")),  # role 2^32 + 4
            ("not-canonical", self.payload(0, {}) + wire.delimited(21, b"\x08\x81\x80\x80\x80\x10")),  # u32, 2^32 + 1
            ("not-canonical", self.payload(0, {}) + wire.delimited(22, wire.delimited(1, b"\x60\x02"))),  # bool 2
            ("not-an-envelope", self.payload(0, {}) + wire.delimited(22, wire.delimited(1, b"\x6a\x03\x08\x1e\x10"))),
            ("not-canonical", self.payload(0, {}) + wire.delimited(56, wire.delimited(1, b"\x12\x02\x08\x00"))),
            ("not-canonical", self.payload(0, {}) + wire.delimited(57, b"\x08\x01\x10\x01\x10\x02")),  # not packed
        ]:
            self.raw(code, envelope(payload, seed))
        self.event("other-ledger", 32, changes={"ledger": bytes(32)}, actor=self.first, role=4)
        self.event("other-ledger", 32, changes={"ledger": b""}, actor=self.first, role=4)
        self.event("unknown-key", 32, [b"\x06" * 32], actor=self.first, role=4)
        r, s = signature["sig"][:32], int.from_bytes(signature["sig"][32:], "little")
        small = ed25519.encode(ed25519.IDENTITY)
        trick = scalar(small + public(seed) + pae(grant)) * secret(seed) % ed25519.L
        point = ed25519.decode(sorted(ed25519.SMALL_ORDER)[-1]) or ed25519.IDENTITY
        mixed = ed25519.encode(ed25519.add(ed25519.decode(r) or ed25519.IDENTITY, point))
        for sig in [
            b"", r, bytes(64), r[:31] + b"\x00" + s.to_bytes(32, "little"), r + (s + ed25519.L).to_bytes(32, "little"),
            small + trick.to_bytes(32, "little"), mixed + s.to_bytes(32, "little"), signature["sig"] + b"\x00",
        ]:  # fmt: skip
            self.raw("bad-signature", wire.encode("Envelope", signed | {"signatures": [signature | {"sig": sig}]}))

    def guards(self) -> None:
        first, second = self.first, self.roots[1]
        role = {"actor": first, "role": 4}
        value = self.event("role-held" if 4 in self.fold.actors[first]["roles"] else "", 32, **role)
        self.raw("duplicate", value)
        self.event("id-used", 32, changes={"id": (len(self.made) - 2).to_bytes(16, "big"), "claimed_at_ms": 1}, **role)
        self.event("bad-id", 32, changes={"id": b"x" * 15}, **role)
        self.event("id-used", 31, changes={"id": b"x" * 15})
        self.event("bad-id", 31, changes={"id": b""})
        self.raw("unknown-kind", envelope(self.payload(0, {}), self.seeds[first]))
        self.event("actor-did-not-sign", 32, [self.seeds[second]], **role)
        self.event("actor-did-not-sign", 32, changes={"actor": "nobody"}, **role)
        for seen in [
            None, {"size": 0, "root": self.seen["root"]}, {"size": NEVER, "root": self.seen["root"]},
            {"size": 1, "root": bytes(32)}, {"size": self.seen["size"], "root": b""},
        ]:  # fmt: skip
            self.event("seen-unknown", 32, changes={"seen": seen}, **role)
        self.event("cause-unknown", 32, changes={"cause": NEVER}, **role)
        self.event("role-held", 32, changes={"cause": 0, "claimed_at_ms": NEVER}, **role)
        for kind in (20, 21, 22, 24):
            self.event("root-signatures-missing", kind, [self.seeds[first]])
        self.event("too-many-signatures", 33, self.all(), **role)
        self.event("role-missing", 46, reader="x")
        for sealed in ({}, {"pack": bytes(16)}, {"pack": bytes(16), "commitment": bytes(31)}):
            self.event("bad-field", 32, changes={"comment": wire.new("Sealed", **sealed)}, **role)
        sealed = wire.new("Sealed", pack=bytes(16), commitment=bytes(32))
        self.event("role-held", 32, changes={"comment": sealed}, **role)
        self.event("", 33, changes={"cause": 0, "comment": sealed}, **role)
        self.event("role-not-held", 33, **role)
        self.event("ledger-exists", 20)
        self.event("ledger-exists", 20, changes={"ledger": b""})
        for version in (0, 1, 2):
            self.event("bad-rules-version", 21, version=version)

    def keys_and_roles(self) -> None:
        first, second = self.first, self.roots[1]
        rita, rita2, own = (seed * 32 for seed in (b"\x11", b"\x12", b"\x13"))
        stranger, walker = b"\x14" * 32, b"\x15" * 32
        one, two = [self.seeds[first]], [self.seeds[first], self.seeds[second]]
        for name in ("", "Rita", "r" * 65, "r i", "rità"):
            self.event("bad-identifier", 30, **self.key(name, rita))
        many: list[Message] = [
            {"printed_name": ""}, {"printed_name": "r" * 129}, {"printed_name": "r\nr"}, {"printed_name": "r\x85"},
            {"actor_kind": 0}, {"actor_kind": 4}, {"algorithm": 0}, {"algorithm": 2}, {"custody": 0}, {"custody": 3},
            {"actor_kind": 2**31 - 1},
        ]  # fmt: skip
        for changes in many:
            self.event("bad-field", 30, **self.key("rita", rita, **changes))
        for unfit in [b"", bytes(31), b"\xff" * 32, *sorted(ed25519.SMALL_ORDER), b"\x02" + bytes(31)]:
            self.event("key-unfit", 30, **self.key("rita", rita, public_key=unfit))
        torsion = ed25519.decode(sorted(ed25519.SMALL_ORDER)[-1]) or ed25519.IDENTITY
        mixed = ed25519.encode(ed25519.add(ed25519.decode(public(rita)) or torsion, torsion))
        self.event("key-unfit", 30, **self.key("rita", rita, public_key=mixed))
        self.event("key-unfit", 30, **self.key("rita", rita, possession=bytes(64)))
        self.event("key-unfit", 30, **self.key("rita", rita, possession=self.key("rit", rita)["possession"]))
        self.event("", 30, **self.key("rita", rita, printed_name="\u00adRita \U0001f600" + "r" * 121))
        name = "\u00adRita \U0001f600" + "r" * 121
        self.event("key-known", 30, **self.key("rita", rita))
        self.event("actor-differs", 30, **self.key("rita", rita2))
        self.event("actor-differs", 30, **self.key("rita", rita2, printed_name=name, actor_kind=2))
        self.event("", 30, **self.key("rita", rita2, printed_name=name))
        self.event(
            "actor-did-not-sign", 30, [rita, rita2], {"actor": "rita"}, **self.key("rita", own, printed_name=name)
        )
        self.event("role-missing", 30, [rita], {"actor": "rita"}, **self.key("walker", walker))
        self.event("role-missing", 30, [rita, *one], **self.key("walker", walker))
        self.event("", 30, [rita2], {"actor": "rita"}, **self.key("rita", own, printed_name=name))
        self.event("bad-field", 32, actor="rita", role=0)
        self.event("bad-field", 32, actor="rita", role=14)
        self.event("bad-field", 32, actor="rita", role=-1)  # in ten bytes
        self.event("bad-identifier", 32, actor="Rita", role=3)
        self.event("unknown-actor", 32, actor="nobody", role=3)
        for role in (7, 10, 11, 12, 13):
            self.event("role-unfit", 32, actor="rita", role=role)
        self.event("", 32, actor="rita", role=6)
        self.event("", 32, actor="rita", role=3)
        self.event("role-held", 32, actor="rita", role=3)
        self.event("role-missing", 32, [rita], {"actor": "rita"}, actor="rita", role=2)
        for role in (1, 5):
            self.event("second-signer-missing", 32, actor="rita", role=role)
            self.event("second-signer-missing", 32, [rita, *one], actor="rita", role=role)
        self.event("", 32, two, actor="rita", role=5)
        self.event("", 32, two, actor="rita", role=4)
        self.event("role-missing", 32, [rita, *one], actor=second, role=5)
        self.event("key-needs-holder", 30, **self.key("rita", stranger, printed_name=name))
        self.event("", 30, two, **self.key("rita", stranger, printed_name=name))
        self.event("", 30, **self.key("walker", walker, actor_kind=2, custody=2))
        self.event("role-unfit", 32, actor="walker", role=1)
        self.event("role-unfit", 32, actor="walker", role=11)
        self.event("", 32, actor="walker", role=9)
        self.event("too-many-signatures", 32, [*two, rita], actor="walker", role=8)
        self.event("role-missing", 32, [walker, *one], actor="walker", role=8)
        self.event("", 32, two, actor="walker", role=7)
        self.event("", 33, actor="walker", role=9)
        self.event("role-not-held", 33, actor="walker", role=9)
        self.event("bad-field", 33, actor="walker", role=0)
        self.event("bad-identifier", 33, actor="", role=1)
        self.event("unknown-actor", 33, actor="nobody", role=1)
        self.event("root-needed", 33, actor=first, role=1)
        self.event("bad-field", 31, keyid=keyid_of(public(rita)))
        self.event("bad-field", 31, keyid=keyid_of(public(rita)), reason=5)
        self.event("unknown-key-named", 31, keyid="", reason=1)
        self.event("unknown-key-named", 31, keyid=keyid_of(public(rita)).upper(), reason=1)
        self.event("", 31, keyid=keyid_of(public(rita)), reason=4)
        self.event("key-revoked", 31, keyid=keyid_of(public(rita)), reason=4)
        self.event("key-revoked", 32, [rita], {"actor": "rita"}, actor="rita", role=2)
        self.event("role-missing", 32, [rita2], {"actor": "rita"}, actor="rita", role=2)
        # A second key for a root actor, so that the first can be revoked, but not both.
        again = b"\x16" * 32
        known = self.fold.actors[second]["printed_name"]
        self.event("root-needed", 31, keyid=keyid_of(public(self.seeds[second])), reason=3)
        self.event("", 30, two, **self.key(second, again, printed_name=known))
        self.event("actor-did-not-sign", 32, [again, self.seeds[second]], {"actor": second}, actor="rita", role=2)
        self.event("", 31, keyid=keyid_of(public(self.seeds[second])), reason=3)
        self.seeds[second] = again
        self.event("root-needed", 31, keyid=keyid_of(public(again)), reason=3)

    def policies(self) -> None:
        now = self.fold.policy
        staging, production = now["gates"]
        tool = wire.new("Tool", name="t", version="1")

        def gates(**changes: Any) -> Message:
            return {"gates": [staging, production | changes]}

        def permissions(*rows: tuple[int, list[int]]) -> Message:
            return {"permissions": [{"kind": kind, "roles": roles} for kind, roles in rows]}

        def review(**changes: Any) -> Message:
            return {"review": wire.new("ReviewRules", **changes)}

        def reasons(*rows: tuple[int, list[int]]) -> Message:
            return review(reasons=[{"verdict": verdict, "reasons": taken} for verdict, taken in rows])

        self.event("bad-policy", 22)
        all_wrong: list[Message] = [
            {"human_review": 0}, {"human_review": 4}, {"human_review": 1, "sample_ppm": 1},
            {"human_review": 3, "sample_ppm": 0}, {"human_review": 3, "sample_ppm": 1_000_001}, {"detectors": []},
            {"detectors": [tool | {"name": ""}]}, {"detectors": [tool | {"version": "V"}]},
            {"checkers": [tool | {"name": "T"}]}, {"gates": []}, {"gates": [production, staging]},
            {"gates": [staging]}, {"gates": [staging, production, production]}, gates(suites=[]), gates(suites=["S"]),
            gates(bound=0), gates(bound=3), gates(bar_ppm=0), gates(bar_ppm=1_000_001), gates(approvals=0),
            gates(approvals=17), gates(bars=[wire.new("Bar", category="c")]), gates(bars=[wire.new("Bar", ppm=1)]),
            {"training_lease_ms": 0}, {"evaluation_lease_ms": 0}, {"seen_age_max_ms": 0}, {"root_seen_age_max_ms": 0},
            {"clock_lag_max_ms": 0}, {"retraining_interval_ms": 0}, {"clock_lag_max_ms": 316_224_000_001},
            permissions((30, [])), permissions((30, [0])), permissions((30, [14])), permissions((30, [1]), (30, [1])),
            permissions((32, [1]), (30, [1])), permissions((20, [1])), permissions((25, [1])), permissions((0, [1])),
            permissions((24, [1])), permissions((124, [1])), {"serving_silence_ms": 316_224_000_001},
            {"key_backup_retention_ms": 316_224_000_001}, {"emergency": wire.new("Emergency", deadline_ms=1)},
            {"emergency": wire.new("Emergency", roles=[5])}, {"by_number": [2, 1]}, {"by_number": [14]},
            {"emergency": wire.new("Emergency", deadline_ms=1, roles=[5, 7])}, {"watch": wire.new("Watch")},
            {"watch": wire.new("Watch", window_ms=1, cusum_bad_ppm=5)},
            {"watch": wire.new("Watch", window_ms=1, errors_max_ppm=1_000_001)},
            review(second_review_ppm=1_000_001),
            review(claim_ms=316_224_000_001), review(due_ms=316_224_000_001), reasons((0, [1])), reasons((4, [1])),
            reasons((1, [])), reasons((1, [0])), reasons((1, [6])), reasons((1, [2, 1])), reasons((1, [1, 1])),
            reasons((2, [1]), (1, [1])), review(allow_list=wire.new("Sealed", pack=bytes(16), commitment=bytes(31))),
            review(allow_list=wire.new("Sealed", pack=bytes(15), commitment=bytes(32))),
        ]  # fmt: skip
        for wrong in all_wrong:
            self.event("bad-policy", 22, policy=now | wrong)
        rows: dict[int, list[int]] = {row["kind"]: row["roles"] for row in now["permissions"]} | {
            23: [1],
            123: [11, 1, 1],
            46: [1],
        }
        new = now | gates(approvals=16) | permissions(*sorted(rows.items()))
        new |= {"detectors": [tool, tool], "clock_lag_max_ms": 1, "human_review": 3, "sample_ppm": 1_000_000}
        new |= reasons((1, [1, 3]), (3, [2]))
        new["review"] |= {"second_review_ppm": 1_000_000, "claim_ms": 316_224_000_000}
        self.event("", 22, policy=new)
        self.event("bad-field", 23, size=1)
        self.event("bad-field", 23, size=1, verdict_root=bytes(33))
        self.event("state-differs", 23, size=1, verdict_root=bytes(32))
        self.event("state-differs", 23, size=NEVER, verdict_root=bytes(32))
        for size in (0, 1, self.seen["size"]):
            self.event("", 23, size=size, verdict_root=self.fold.verdicts.roots[size])

    def clock(self) -> None:
        for time in (0, 1_577_836_799_999, 7_258_118_400_000):
            self.event("bad-field", 24, time_ms=time)
        ahead = self.fold.times[-1] + 3_600_000
        self.event("", 24, time_ms=ahead)
        self.event("role-missing", 96)
        self.event("", 24, time_ms=7_258_118_399_999)
        self.event("seen-too-old", 32, actor="rita", role=2)
        self.event("seen-too-old", 24, time_ms=ahead)
        self.event("role-not-held", 33, actor="rita", role=2)
        self.event("", 33, actor="rita", role=3)


def main() -> int:
    fold = Fold()
    for entry in read_export(Path(sys.argv[1]).read_bytes()).entries:
        fold.take(entry)
    author = Author(fold, [bytes.fromhex(Path(path).read_text()) for path in sys.argv[2:]])
    author.write()
    for code, value in author.made:
        print(code or "accepted", value.hex())
    return 0


if __name__ == "__main__":
    sys.exit(main())
