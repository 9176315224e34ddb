"""Judges the entries of a log one after another, as far as formats.md has the rules. Its headings are in "quotes"."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import ed25519
import wire
from logfile import Entry, Tree, Verdict, leaf_hash
from wire import Message

PAYLOAD_TYPE = "application/vnd.attestune.event.v1+protobuf"
MAX_VALUE = 65_527
SHORT_FORM = b"attestune/large\n"
ROOT_KINDS = (20, 21, 22, 24)
ACCEPTED, REFUSED, DUPLICATE, GARBAGE = 1, 2, 3, 4

Rows = list[tuple[bytes, bytes]]  # what an event writes: names and values


def is_short_form(value: bytes) -> bool:
    """Whether it stands for a record that was too large: tag, length, digest."""
    return len(value) == 56 and value.startswith(SHORT_FORM) and int.from_bytes(value[16:24], "big") > MAX_VALUE


class Rejected(Exception):
    """A check of the page failed; the code stands in the verdict's leaf."""


def need(holds: object, code: str) -> None:
    if not holds:
        raise Rejected(code)


def is_identifier(text: str) -> bool:
    return re.fullmatch("[a-z0-9._-]{1,64}", text) is not None


def is_printed_name(text: str) -> bool:
    return 1 <= len(text) <= 128 and all(unicodedata.category(char) != "Cc" for char in text)


def listed(enumeration: str, value: int) -> bool:
    return 1 <= value <= wire.ENUMERATIONS[enumeration]


def keyid_of(public: bytes) -> str:
    return sha256(public).hexdigest()[:32]


def possession_holds(ledger: bytes, actor: str, public: bytes, possession: bytes) -> bool:
    message = b"\x00".join([b"attestune key possession v1", ledger, actor.encode(), public])
    return ed25519.holds(public, message, possession)


def policy_is_valid(policy: Message | None) -> bool:
    """ "The policy"."""
    if policy is None:
        return False
    tools = policy["detectors"] + policy["checkers"]
    times = ["training_lease", "evaluation_lease", "seen_age_max", "root_seen_age_max", "clock_lag_max"]
    kinds = [permission["kind"] for permission in policy["permissions"]]
    return (
        listed("HumanReview", policy["human_review"])
        and (1 <= policy["sample_ppm"] <= 1_000_000 if policy["human_review"] == 3 else policy["sample_ppm"] == 0)
        and len(policy["detectors"]) > 0
        and all(is_identifier(tool["name"]) and is_identifier(tool["version"]) for tool in tools)
        and [gate["stage"] for gate in policy["gates"]] == [2, 3]
        and all(
            gate["suites"]
            and all(map(is_identifier, gate["suites"]))
            and listed("Bound", gate["bound"])
            and all(1 <= ppm <= 1_000_000 for ppm in [gate["bar_ppm"], *(bar["ppm"] for bar in gate["bars"])])
            and all(is_identifier(bar["category"]) for bar in gate["bars"])
            and gate["approvals"] <= 16
            for gate in policy["gates"]
        )
        and policy["gates"][1]["approvals"] >= 1
        and all(1 <= policy[f"{name}_ms"] <= 316_224_000_000 for name in [*times, "retraining_interval"])
        and kinds == sorted(set(kinds))
        and all(kind in wire.KINDS and kind not in ROOT_KINDS for kind in kinds)
        and all(
            permission["roles"] and all(listed("Role", role) for role in permission["roles"])
            for permission in policy["permissions"]
        )
        and review_is_valid(policy["review"])
        and what_comes_after_is_valid(policy)
    )


def review_is_valid(review: Message | None) -> bool:
    """ "The policy", its last paragraph."""
    if review is None:
        return True
    verdicts, sealed = [row["verdict"] for row in review["reasons"]], review["allow_list"]
    return (
        review["second_review_ppm"] <= 1_000_000
        and max(review["claim_ms"], review["due_ms"]) <= 316_224_000_000
        and verdicts == sorted(set(verdicts))
        and all(listed("ReviewVerdict", verdict) for verdict in verdicts)
        and all(
            row["reasons"]
            and row["reasons"] == sorted(set(row["reasons"]))
            and all(listed("ReviewReason", reason) for reason in row["reasons"])
            for row in review["reasons"]
        )
        and (sealed is None or (len(sealed["pack"]), len(sealed["commitment"])) == (16, 32))
    )


def what_comes_after_is_valid(policy: Message) -> bool:
    """ "The policy", of what comes after promotion."""
    most, emergency, watch, roles = 316_224_000_000, policy["emergency"], policy["watch"], policy["by_number"]
    times = ["serving_silence", "watch_silence", "alert_response", "request_retention", "key_backup_retention"]
    shares = ["refusals_max_ppm", "format_failures_max_ppm", "errors_max_ppm", "cusum_bad_ppm"]
    return (
        all(policy[f"{name}_ms"] <= most for name in times)
        and (
            emergency is None
            or (1 <= emergency["deadline_ms"] <= most and len(emergency["roles"]) > 0)
            and emergency["roles"] == sorted(set(emergency["roles"]))
            and all(1 <= role <= 6 for role in emergency["roles"])
        )
        and roles == sorted(set(roles))
        and all(listed("Role", role) for role in roles)
        and (
            watch is None
            or 1 <= watch["window_ms"] <= most
            and all(watch[share] <= 1_000_000 for share in shares)
            and (watch["cusum_bad_ppm"] == 0) == (watch["cusum_limit_milli"] == 0)
        )
    )


@dataclass
class Judged:
    """What this page alone comes to for an entry."""

    verdict: Verdict
    signed: bool = False  # an event whose signatures all hold
    untold: bool = False  # the page does not have the kind's own rule
    seen: tuple[int, bytes] | None = None  # size and root that a signer saw


class Fold:
    """What the entries up to a position come to."""

    def __init__(self) -> None:
        self.entries, self.verdicts = Tree(), Tree()
        self.judged: list[Judged] = []
        self.times: list[int] = []  # the fold's time
        self.ledger: Message | None = None
        self.policy: Message = {}
        self.actors: dict[str, Message] = {}
        self.keys: dict[str, Message] = {}
        self.used: dict[tuple[str, bytes], bytes] = {}
        self.signatures = self.registrations = 0

    def take(self, entry: Entry) -> None:
        position = len(self.judged)
        self.times.append(max(entry.time, self.times[-1] if self.times else 0))
        judged = Judged(Verdict(GARBAGE))
        try:
            self.judge(judged, position, entry.time, entry.value)
        except Rejected as rejected:
            judged.verdict.code = str(rejected)
        self.judged.append(judged)
        leaf = leaf_hash(entry.time.to_bytes(8, "big") + entry.value)
        self.entries.append(leaf)
        # Where the page does not have the rule, the exporter's word; the verdict tree's checkpoint binds it.
        self.verdicts.append((entry.verdict if judged.untold else judged.verdict).leaf(position, leaf))

    def judge(self, judged: Judged, position: int, time: int, value: bytes) -> None:
        verdict = judged.verdict
        # "No event"
        need(len(value) <= MAX_VALUE and not is_short_form(value), "too-large")
        try:
            envelope = wire.decode("Envelope", value)
            need(envelope["payload_type"] == PAYLOAD_TYPE, "not-an-envelope")
            need(wire.is_canonical("Envelope", envelope, value), "not-canonical")
            keyids = [signature["keyid"] for signature in envelope["signatures"]]
            need(1 <= len(keyids) <= 16 and keyids == sorted(set(keyids), key=str.encode), "signatures-unordered")
            event = wire.decode("Event", envelope["payload"])
        except wire.Malformed:
            raise Rejected("not-an-envelope") from None
        need(wire.is_canonical_event(event, envelope["payload"]), "not-canonical")
        kind = wire.kind(event)
        body: Message = event[str(kind)] if kind else {}
        if self.ledger is None:
            need(kind == 20, "no-ledger")
            need(self.genesis_is_good(event, body), "bad-genesis")
            keys = {keyid_of(root["public_key"]): root for root in body["root_keys"]}
        else:
            need(kind == 20 or event["ledger"] == self.ledger["ledger_id"], "other-ledger")
            keys = self.keys
        payload = envelope["payload"]
        signed = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
        for signature in envelope["signatures"]:
            need(signature["keyid"] in keys, "unknown-key")
            need(ed25519.holds(keys[signature["keyid"]]["public_key"], signed, signature["sig"]), "bad-signature")
            self.signatures += 1
        judged.signed = True
        signers: list[str] = [keys[keyid]["actor"] for keyid in keyids]
        if self.ledger is None:
            need(len(signers) >= body["threshold"] and event["actor"] in signers, "bad-genesis")
        elif event["seen"]:
            judged.seen = event["seen"]["size"], event["seen"]["root"]

        # "Ids"
        verdict.number, use = REFUSED, (event["actor"], event["id"])
        if use in self.used:
            need(self.used[use] == value, "id-used")
            verdict.number = DUPLICATE
            return
        if event["actor"] in signers:
            self.used[use] = value

        if self.ledger is None:
            rows = self.create(position, value, body)
        else:
            self.guard(event, kind, position, time, keyids, signers)
            if kind >= 40:
                judged.untold = True
                return
            rows = RULES[kind](self, body, event, position, signers)
        effects = b"".join(len(part).to_bytes(4, "big") + part for row in rows for part in row)
        verdict.number, verdict.digest = ACCEPTED, sha256(effects).digest()

    def genesis_is_good(self, event: Message, body: Message) -> bool:
        roots = body["root_keys"]
        return (
            len(event["id"]) == 16
            and not event["ledger"]
            and event["seen"] is None
            and event["cause"] is None
            and is_identifier(body["name"])
            and 1 <= len(roots) <= 16
            and len({root["actor"] for root in roots}) == len({root["public_key"] for root in roots}) == len(roots)
            and 1 <= body["threshold"] <= len(roots)
            and policy_is_valid(body["policy"])
            and body["rules_version"] == 1
            and ed25519.is_fit(body["checkpoint_key"])
            and all(
                is_identifier(root["actor"])
                and is_printed_name(root["printed_name"])
                and ed25519.is_fit(root["public_key"])
                and possession_holds(b"", root["actor"], root["public_key"], root["possession"])
                for root in roots
            )
        )

    def guard(self, event: Message, kind: int, position: int, time: int, keyids: list[str], signers: list[str]) -> None:
        """ "Guards"."""
        assert self.ledger
        seen, comment, now = event["seen"], event["comment"], self.times[position]
        need(len(event["id"]) == 16, "bad-id")
        need(kind, "unknown-kind")
        need(event["actor"] in signers and len(set(signers)) == len(signers), "actor-did-not-sign")
        need(all(self.keys[keyid]["revoked_at"] is None for keyid in keyids), "key-revoked")
        need(seen and 1 <= seen["size"] <= position, "seen-unknown")
        need(seen["root"] == self.entries.roots[seen["size"]], "seen-unknown")
        if kind not in (31, 33, 62, 98, 99, 101):
            most = self.policy["root_seen_age_max_ms" if kind in ROOT_KINDS else "seen_age_max_ms"]
            need(now - self.times[seen["size"]] <= most, "seen-too-old")
        need(event["cause"] is None or event["cause"] < position, "cause-unknown")
        if kind in ROOT_KINDS:
            roots = set(self.ledger["root_actors"])
            need(roots.issuperset(signers) and len(signers) >= self.ledger["threshold"], "root-signatures-missing")
        else:
            need(len(signers) <= (2 if kind in (30, 32) else 1), "too-many-signatures")
            claim = kind == 55 and event["55"]["claim"]
            need(kind == 30 or self.may(event["actor"], 56 if claim else kind), "role-missing")
        if kind in (96, 97):
            need(now - time <= self.policy["clock_lag_max_ms"], "clock-lagging")
        need(comment is None or (len(comment["pack"]), len(comment["commitment"])) == (16, 32), "bad-field")

    def may(self, actor: str, kind: int) -> bool:
        roles = [set(row["roles"]) for row in self.policy["permissions"] if row["kind"] == kind]
        return bool(roles) and not roles[0].isdisjoint(self.actors[actor]["roles"])

    def need_fit_second(self, event: Message, kind: int, signers: list[str]) -> None:
        for other in set(signers) - {event["actor"]}:
            need(self.actors[other]["kind"] == 1 and self.may(other, kind), "role-missing")

    # "Rules of kinds 20 to 33". Each gives the rows that the event writes ("State and effects").

    def create(self, position: int, value: bytes, body: Message) -> Rows:
        self.ledger = wire.new(
            "LedgerRow", root_actors=[root["actor"] for root in body["root_keys"]], policy_version=1,
            ledger_id=sha256(value).digest(), name=body["name"], rules_version=body["rules_version"],
            threshold=body["threshold"], checkpoint_key=body["checkpoint_key"],
        )  # fmt: skip
        rows = [self.ledger_row(), self.policy_row(body["policy"], position)]
        for root in body["root_keys"]:
            rows += self.register(dict(root, actor_kind=1, custody=1), position, [1])
        return rows

    def ledger_row(self) -> tuple[bytes, bytes]:
        assert self.ledger
        return b"\x01", wire.encode("LedgerRow", self.ledger)

    def policy_row(self, policy: Message, position: int) -> tuple[bytes, bytes]:
        assert self.ledger
        self.policy, version = policy, self.ledger["policy_version"]
        row = wire.new("PolicyRow", version=version, position=position, policy=policy)
        return b"\x02" + version.to_bytes(4, "big"), wire.encode("PolicyRow", row)

    def actor_row(self, actor: str) -> tuple[bytes, bytes]:
        return b"\x03" + actor.encode() + b"\x00", wire.encode("ActorRow", self.actors[actor])

    def key_row(self, keyid: str) -> tuple[bytes, bytes]:
        return b"\x04" + keyid.encode() + b"\x00", wire.encode("KeyRow", self.keys[keyid])

    def register(self, body: Message, position: int, roles: Sequence[int] = ()) -> Rows:
        self.registrations += 1
        actor, keyid = body["actor"], keyid_of(body["public_key"])
        if actor not in self.actors:
            self.actors[actor] = wire.new(
                "ActorRow", actor=actor, printed_name=body["printed_name"], kind=body["actor_kind"], position=position,
                roles=list(roles),
            )  # fmt: skip
        self.actors[actor]["keyids"].append(keyid)
        self.keys[keyid] = wire.new(
            "KeyRow",
            keyid=keyid,
            actor=actor,
            public_key=body["public_key"],
            custody=body["custody"],
            position=position,
        )
        return [self.actor_row(actor), self.key_row(keyid)]

    def ledger_created(self, *_: object) -> Rows:
        raise Rejected("ledger-exists")

    def rules_activated(self, *_: object) -> Rows:
        raise Rejected("bad-rules-version")  # there is but version 1

    def policy_adopted(self, body: Message, _: Message, position: int, __: list[str]) -> Rows:
        assert self.ledger
        need(policy_is_valid(body["policy"]), "bad-policy")
        self.ledger["policy_version"] += 1
        return [self.policy_row(body["policy"], position), self.ledger_row()]

    def state_attested(self, body: Message, _: Message, position: int, __: list[str]) -> Rows:
        need(len(body["verdict_root"]) == 32, "bad-field")
        need(body["size"] <= position, "state-differs")
        need(self.verdicts.roots[body["size"]] == body["verdict_root"], "state-differs")
        return []

    def clock_corrected(self, body: Message, _: Message, position: int, __: list[str]) -> Rows:
        assert self.ledger
        need(1_577_836_800_000 <= body["time_ms"] < 7_258_118_400_000, "bad-field")
        self.times[position] = body["time_ms"]
        self.ledger["clock_corrected_at"] = position
        return [self.ledger_row()]

    def key_registered(self, body: Message, event: Message, position: int, signers: list[str]) -> Rows:
        assert self.ledger
        actor, public = body["actor"], body["public_key"]
        need(is_identifier(actor), "bad-identifier")
        need(is_printed_name(body["printed_name"]), "bad-field")
        need(listed("ActorKind", body["actor_kind"]) and listed("KeyAlgorithm", body["algorithm"]), "bad-field")
        need(listed("KeyCustody", body["custody"]), "bad-field")
        need(ed25519.is_fit(public), "key-unfit")
        need(possession_holds(self.ledger["ledger_id"], actor, public, body["possession"]), "key-unfit")
        need(keyid_of(public) not in self.keys, "key-known")
        if actor in self.actors:
            known = self.actors[actor]
            same = (known["printed_name"], known["kind"]) == (body["printed_name"], body["actor_kind"])
            need(same, "actor-differs")
            need(not known["roles"] or actor == event["actor"] or len(signers) == 2, "key-needs-holder")
        need(actor == event["actor"] or self.may(event["actor"], 30), "role-missing")
        self.need_fit_second(event, 30, signers)
        return self.register(body, position)

    def key_revoked(self, body: Message, _: Message, position: int, __: list[str]) -> Rows:
        assert self.ledger
        need(listed("RevocationReason", body["reason"]), "bad-field")
        need(body["keyid"] in self.keys, "unknown-key-named")
        key = self.keys[body["keyid"]]
        need(key["revoked_at"] is None, "key-revoked")
        roots = self.ledger["root_actors"]
        left = {other["actor"] for other in self.keys.values() if other is not key and other["revoked_at"] is None}
        need(key["actor"] not in roots or len(left.intersection(roots)) >= self.ledger["threshold"], "root-needed")
        key["revoked_at"], key["reason"] = position, body["reason"]
        return [self.key_row(body["keyid"])]

    def role_granted(self, body: Message, event: Message, _: int, signers: list[str]) -> Rows:
        actor, role = self.named(body), body["role"]
        need(role not in actor["roles"], "role-held")
        need(actor["kind"] == (1 if role <= 6 else 3 if role == 11 else 2), "role-unfit")
        if role in (1, 5):
            need(len(signers) == 2 and body["actor"] not in signers, "second-signer-missing")
        self.need_fit_second(event, 32, signers)
        actor["roles"] = sorted([*actor["roles"], role])
        return [self.actor_row(body["actor"])]

    def role_withdrawn(self, body: Message, *_: object) -> Rows:
        assert self.ledger
        actor, role = self.named(body), body["role"]
        need(role in actor["roles"], "role-not-held")
        need(role != 1 or body["actor"] not in self.ledger["root_actors"], "root-needed")
        actor["roles"] = [other for other in actor["roles"] if other != role]
        return [self.actor_row(body["actor"])]

    def named(self, body: Message) -> Message:
        need(listed("Role", body["role"]), "bad-field")
        need(is_identifier(body["actor"]), "bad-identifier")
        need(body["actor"] in self.actors, "unknown-actor")
        return self.actors[body["actor"]]


RULES: dict[int, Callable[..., Rows]] = {
    20: Fold.ledger_created, 21: Fold.rules_activated, 22: Fold.policy_adopted, 23: Fold.state_attested,
    24: Fold.clock_corrected, 30: Fold.key_registered, 31: Fold.key_revoked, 32: Fold.role_granted,
    33: Fold.role_withdrawn,
}  # fmt: skip
