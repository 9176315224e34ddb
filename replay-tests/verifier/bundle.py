#!/usr/bin/env python3
"""Verifies a bundle of evidence. Written from docs/formats.md alone, whose headings are in "quotes".

Exit status: 0 if every check passed, 1 if one failed.
"""

import argparse
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import ed25519
import wire
from judge import PAYLOAD_TYPE, Fold, keyid_of
from logfile import (
    VERDICTS,
    Bad,
    Checkpoint,
    Tree,
    consistency_holds,
    from_base64,
    inclusion_holds,
    leaf_hash,
    open_checkpoint,
    read_export,
    read_key,
    read_proof,
)
from verify import Report, check
from wire import Message

HEAD = ["kind", "purpose", "exporter", "made-by", "ledger", "name", "origin", "size", "model", "at", "version", "sample"]
PURPOSES = ["regulator", "auditor", "legal", "data-subject", "internal"]
EXPORT = ["export/event.tlog-proof", "export/consistency"]
PARTS = ["index.html", "check.html", "answer", "policy", "population.csv", "sample.csv"]
PARTS_OF = {"complete": ["log", "leaves"], "slice": ["checkpoint", "verdicts"]}
COLUMNS = "number,batch,index,commitment,redacted,documents,row,document"


@dataclass
class Manifest:
    head: dict[str, str]
    parts: list[tuple[str, int, str]]  # SHA-256, length, name
    texts: list[tuple[str, int, str]]


@dataclass
class Disclosed:
    event: Message
    envelope: Message
    verdict: int
    effects: bytes


def read_manifest(data: bytes) -> Manifest:
    blocks = data.decode("utf-8").split("\n\n")
    if len(blocks) == 2 and blocks[1].endswith("\n"):  # no opened texts: the third block is empty
        blocks = [blocks[0], blocks[1].removesuffix("\n"), ""]
    if len(blocks) != 3 or not data.endswith(b"\n"):
        raise Bad("no manifest: other than three blocks")
    lines = blocks[0].split("\n")
    head = dict(line.split(" ", 1) for line in lines[1:])
    if lines[0] != "attestune evidence v1" or list(head) != HEAD:
        raise Bad("no manifest: the head is another")
    listed = []
    for block in blocks[1:]:
        forms = [re.fullmatch(r"([0-9a-f]{64}) (0|[1-9][0-9]*) (\S+)", line) for line in block.split("\n") if line]
        if not all(forms):
            raise Bad("no manifest: a line of its parts is another")
        listed.append([(form[1], int(form[2]), form[3]) for form in forms if form])
    return Manifest(head, *listed)


def extra_of(data: bytes) -> bytes:
    form = re.match(rb"c2sp\.org/tlog-proof@v1\nextra (\S+)\n", data)
    if not form:
        raise Bad("the tlog-proof has no extra data")
    return from_base64(form[1].decode())


def is_part(kind: str, name: str, positions: set[int]) -> bool:
    """Whether a bundle that discloses entries at these positions may have such a part."""
    form = re.fullmatch(r"(?:events|judged)/([0-9]{10})\.tlog-proof|effects/([0-9]{10})", name)
    of_entry = kind == "slice" and form is not None and int(form[1] or form[2]) in positions
    return name in [*PARTS, *PARTS_OF[kind]] or of_entry


def shares_bytes(data: bytes, places: list[tuple[int, int]]) -> bool:
    """Whether parts of an archive overlap: `places` are where their local headers begin, and their sizes, in order."""
    end = 0
    for at, size in places:
        if at < end:
            return True
        name, extra = (int.from_bytes(data[at + of : at + of + 2], "little") for of in (26, 28))
        end = at + 30 + name + extra + size
    return False


def written(effects: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of the rows that an event wrote: "State and effects"."""
    at, pair = 0, []
    while at < len(effects):
        length = int.from_bytes(effects[at : at + 4], "big")
        pair.append(effects[at + 4 : at + 4 + length])
        at += 4 + length
        if len(pair) == 2:
            yield pair[0], pair[1]
            pair = []


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def text(name: str) -> bytes:
    return name.encode() + b"\x00"


def rows_of(answer: Message) -> Iterator[tuple[bytes, str, Message | None]]:
    """The state rows in an answer under their names."""
    for table, message, field in [
        (15, "DatasetRow", "dataset"),
        (18, "BaseRow", "base"),
        (20, "RunRow", "run"),
        (27, "PromotionRow", "promotion"),
    ]:
        if row := answer[field]:
            yield bytes([table]) + u64(row["position"]), message, row
    for one in answer["evaluations"]:
        yield b"\x19" + u64(one["evaluation"]["position"]), "EvaluationRow", one["evaluation"]
        yield b"\x15" + u64(one["suite"]["position"]), "SuiteRow", one["suite"]
    for one in answer["leakage"]:
        yield b"\x11" + u64(one["dataset"]) + u64(one["suite"]), "LeakageRow", one["leakage"]
    for row in answer["actors"]:
        yield b"\x03" + text(row["actor"]), "ActorRow", row
    if row := answer["in_force"]:
        yield b"\x18" + text(row["model"]) + row["version"].to_bytes(4, "big"), "VersionRow", row
    yield b"\x02" + answer["policy"]["version"].to_bytes(4, "big"), "PolicyRow", answer["policy"]


def name_one_another(answer: Message, model: str) -> bool:
    """Whether all rows of an answer are of one version."""
    version, promotion, run, dataset = (answer[field] for field in ("in_force", "promotion", "run", "dataset"))
    if version is None:
        always = ("policy_version", "as_of_position", "as_of_ms", "halt", "halted_version", "policy")
        bare = wire.new("WhyInForceResponse", **{field: answer[field] for field in always})
        return answer == bare and answer["policy"] is not None
    number, since = answer["version"], answer["since_position"]
    rolled_back = promotion is not None and promotion["decided_at"] != since
    return (
        promotion is not None
        and answer["policy"] is not None
        and answer["base"] is not None
        and all((row["model"], row["version"]) == (model, number) for row in (version, promotion))
        and promotion["position"] == version["production_promotion"]
        and (answer["rollback"]["position"] if answer["rollback"] else None) == (since if rolled_back else None)
        and (run["position"] if run else None) == version["run"]
        and (dataset["position"] if dataset else None) == (run["dataset"] if run else None)
        and answer["base"]["position"] == version["base"]
        and all(
            one["evaluation"]
            and one["suite"]
            and (one["evaluation"]["model"], one["evaluation"]["version"]) == (model, number)
            and one["evaluation"]["suite"] == one["suite"]["position"]
            for one in answer["evaluations"]
        )
        and all(dataset and one["dataset"] == dataset["position"] for one in answer["leakage"])
    )


class Bundle:
    """The steps of "Evidence bundles"."""

    def __init__(self, data: bytes, ledger: bytes | None, key: bytes | None) -> None:
        self.report, self.ledger, self.known = Report(), ledger, key
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise Bad("a part is compressed")
            if shares_bytes(data, sorted((info.header_offset, info.compress_size) for info in archive.infolist())):
                raise Bad("two parts share bytes")
            self.names = archive.namelist()
            self.parts = {name: archive.read(name) for name in self.names}
        self.manifest = read_manifest(self.parts.get("manifest.txt", b""))
        self.head = self.manifest.head
        self.size = int(self.head["size"])

    def verify(self) -> None:
        self.check_parts()
        if self.ledger is None:
            self.report.note(f"ledger: {self.head['ledger']}, compared with nothing: the bundle's origin is unknown")
        elif self.ledger.hex() == self.head["ledger"]:
            self.report.ok(f"ledger: {self.head['ledger']}, as known from outside")
        else:
            self.report.fail(f"ledger: the bundle is of {self.head['ledger']}, not of {self.ledger.hex()}")
        if int(self.head["at"]) >= self.size:
            self.report.fail(f"manifest: the log has {self.size} entries, {self.head['at']} is asked about")
        self.report.note("check.html: compared with nothing, what it says is its maker's word")
        if self.head["kind"] == "complete":
            self.verify_complete()
        else:
            self.verify_slice()

    def check_parts(self) -> None:
        texts = [name for _, _, name in self.manifest.texts if name in self.parts]
        expected = ["manifest.txt", *(name for _, _, name in self.manifest.parts), *texts, *EXPORT]
        if self.names != expected:
            wrong = next((a for a, b in zip(self.names, expected) if a != b), "its end")
            self.report.fail(f"parts: {wrong}: not those of the manifest, in its order")
        positions = set(self.positions())
        for _, _, name in self.manifest.parts:
            if not is_part(self.head["kind"], name, positions):
                self.report.fail(f"parts: {name}: a bundle of this kind has no such part")
        for digest, length, name in self.manifest.parts + self.manifest.texts:
            part = self.parts.get(name)
            if part is not None and (len(part) != length or sha256(part).hexdigest() != digest):
                self.report.fail(f"parts: {name}: not the one that the manifest names")
        for name in texts:
            if sha256(self.parts[name]).hexdigest() != name.removeprefix("texts/"):
                self.report.fail(f"parts: {name}: not the text of its commitment")
        if not self.report.failures:
            self.report.ok(f"parts: {len(self.manifest.parts)}, and {len(texts)} opened texts, as the manifest names them")

    def positions(self) -> list[int]:
        """Those of the entries disclosed."""
        forms = [re.fullmatch(r"events/([0-9]{10})\.tlog-proof", name) for _, _, name in self.manifest.parts]
        return [int(form[1]) for form in forms if form]

    def verify_complete(self) -> None:
        """All that a verifier does with an export, and each leaf."""
        log = self.parts["log"]
        inner = check(log, self.ledger, self.known)
        self.report.lines += [f"{line[:6]}log: {line[6:]}" for line in inner.lines]
        self.report.passed += inner.passed
        self.report.failures += inner.failures
        export, fold = read_export(log), Fold()
        for entry in export.entries:
            fold.take(entry)
        leaves = [self.parts["leaves"][at : at + 32] for at in range(0, len(self.parts["leaves"]), 32)]
        wrong = next((i for i, (a, b) in enumerate(zip(leaves, fold.entries.leaves)) if a != b), None)
        if wrong is not None or len(leaves) != len(fold.entries.leaves) or len(leaves) != self.size:
            self.report.fail(f"leaves: position {wrong}: not the entry's", wrong)
        else:
            self.report.ok(f"leaves: {len(leaves)}, each its entry's")
        assert fold.ledger
        key, keys = fold.ledger["checkpoint_key"], {keyid: (row["public_key"], row["actor"]) for keyid, row in fold.keys.items()}
        checkpoint = open_checkpoint(export.checkpoints[0], key, self.head["origin"])
        self.check_size(checkpoint)
        self.check_export(checkpoint, key, keys)
        self.check_sample(checkpoint)

    def check_size(self, checkpoint: Checkpoint) -> None:
        if checkpoint.size != self.size:
            self.report.fail(f"checkpoint: it covers {checkpoint.size} entries, not {self.size}")

    def verify_slice(self) -> None:
        positions = self.positions()
        entries = {at: extra_of(self.parts[f"events/{at:010}.tlog-proof"]) for at in positions}
        genesis = next(entry[8:] for entry in entries.values() if self.event(entry)[1]["20"])
        body = self.event(bytes(8) + genesis)[1]["20"]
        key = body["checkpoint_key"]
        if sha256(genesis).hexdigest() != self.head["ledger"] or body["name"] != self.head["name"]:
            self.report.fail("genesis: not the ledger that the manifest names")
        if self.known is not None and self.known != key:
            self.report.fail("checkpoint key: the genesis has another than is known from outside")
        origin = f"attestune/{body['name']}/{self.head['ledger'][:16]}"
        checkpoint = open_checkpoint(self.parts["checkpoint"], key, origin)
        verdicts = open_checkpoint(self.parts["verdicts"], key, origin + "/verdicts")
        self.check_size(checkpoint)
        self.check_size(verdicts)
        disclosed = {at: self.disclose(at, entries[at], checkpoint, verdicts) for at in positions}
        self.report.ok(f"entries: {len(positions)}, each with its verdict where it stands in the trees")
        keys = {keyid_of(root["public_key"]): (root["public_key"], root["actor"]) for root in body["root_keys"]}
        for one in disclosed.values():
            if one.verdict == 1 and (registered := one.event["30"]):
                keys[keyid_of(registered["public_key"])] = (registered["public_key"], registered["actor"])
        self.check_signatures(disclosed, keys)
        self.check_answer(disclosed)
        self.check_population(disclosed)
        self.check_export(checkpoint, key, keys)
        self.check_sample(checkpoint)

    def event(self, entry: bytes) -> tuple[Message, Message]:
        envelope = wire.decode("Envelope", entry[8:])
        return envelope, wire.decode("Event", envelope["payload"])

    def disclose(self, at: int, entry: bytes, checkpoint: Checkpoint, verdicts: Checkpoint) -> Disclosed:
        """An entry and its verdict stand in the trees, under the bundle's own checkpoints."""
        leaf = leaf_hash(entry)
        judged = extra_of(self.parts[f"judged/{at:010}.tlog-proof"])
        pairs = [("events", leaf, checkpoint, "checkpoint"), ("judged", leaf_hash(judged), verdicts, "verdicts")]
        for folder, hash_, tree, note in pairs:
            proof = read_proof(self.parts[f"{folder}/{at:010}.tlog-proof"])
            if proof.index != at or proof.checkpoint != self.parts[note]:
                raise Bad(f"{folder}: the proof is another's, or under another checkpoint", at)
            if not inclusion_holds(hash_, at, tree.size, tree.root, proof.hashes):
                raise Bad(f"{folder}: the proof does not hold", at)
        verdict, length = judged[40], judged[41]
        effects = self.parts.get(f"effects/{at:010}", b"")
        if judged[:8] != at.to_bytes(8, "big") or judged[8:40] != leaf or verdict not in VERDICTS:
            raise Bad("judged: no verdict on this entry", at)
        if len(judged) != 42 + length + 32 or judged[42 + length :] != sha256(effects).digest():
            raise Bad("effects: not those of the verdict", at)
        envelope, event = self.event(entry)
        return Disclosed(event, envelope, verdict, effects)

    def check_signatures(self, disclosed: dict[int, Disclosed], keys: dict[str, tuple[bytes, str]]) -> None:
        count = 0
        for at, one in disclosed.items():
            if one.event["20"] is None and one.event["ledger"].hex() != self.head["ledger"]:
                raise Bad("the event is of another ledger", at)
            count += self.signatures(one.envelope, keys, at)
            signers = [keys[signature["keyid"]][1] for signature in one.envelope["signatures"]]
            if one.verdict == 1 and one.event["actor"] not in signers:
                raise Bad(f"no key of {one.event['actor']} has signed it", at)
        self.report.ok(f"signatures: {count} hold, under keys that the bundle registers")

    def signatures(self, envelope: Message, keys: dict[str, tuple[bytes, str]], at: int) -> int:
        payload = envelope["payload"]
        pae = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload
        for signature in envelope["signatures"]:
            if signature["keyid"] not in keys:
                raise Bad(f"key {signature['keyid']} is registered by no event of the bundle", at)
            if not ed25519.holds(keys[signature["keyid"]][0], pae, signature["sig"]):
                raise Bad(f"the signature of key {signature['keyid']} does not hold", at)
        return len(envelope["signatures"])

    def check_answer(self, disclosed: dict[int, Disclosed]) -> None:
        """The answer is of one version, and each of its rows is as the disclosed events left it."""
        data, at = self.parts["answer"], int(self.head["at"])
        answer = wire.decode("WhyInForceResponse", data)
        if not wire.is_canonical("WhyInForceResponse", answer, data):
            raise Bad("answer: not in canonical form")
        if (answer["version"], answer["as_of_position"]) != (int(self.head["version"]), at):
            raise Bad("answer: it is to another question than the manifest's")
        if not name_one_another(answer, self.head["model"]):
            raise Bad("answer: its rows do not name one another")
        policy = answer["policy"]["policy"]
        if self.parts["policy"] != (wire.encode("Policy", policy) if policy else b""):
            raise Bad("policy: not the answer's")
        latest: dict[bytes, bytes] = {}
        for position in sorted(position for position in disclosed if position <= at):
            latest.update(written(disclosed[position].effects))
        rows = list(rows_of(answer))
        for name, message, row in rows:
            if latest.get(name) != (None if row is None else wire.encode(message, row)):
                raise Bad(f"answer: its {message} {name.hex()} is not what the events of the bundle wrote")
        self.report.ok(f"answer: {len(rows)} rows of one version, each as the last of the disclosed events wrote it")

    def rows(self, name: str) -> list[list[str]]:
        lines = self.parts[name].decode().split("\n")
        if lines[0] != COLUMNS or lines[-1]:
            raise Bad(f"{name}: the head is another")
        return [line.split(",") for line in lines[1:-1]]

    def members_root(self) -> bytes:
        tree = Tree()
        for row in self.rows("population.csv"):
            tree.append(leaf_hash(bytes.fromhex(row[3])))
        return tree.roots[-1]

    def check_population(self, disclosed: dict[int, Disclosed]) -> None:
        rows = self.rows("population.csv")
        frozen = [one.event["45"] for one in disclosed.values() if one.verdict == 1 and one.event["45"]]
        if rows and not any(b["root"] == self.members_root() and b["count"] == len(rows) for b in frozen):
            raise Bad("population.csv: no dataset of the bundle was frozen with these members")
        for number, (_, batch, index, commitment, redacted, documents, row, document) in enumerate(rows, 1):
            derived = disclosed[int(batch)].event["41"]
            ingested = disclosed[derived["documents"]].event["40"]
            same = derived["commitments"][int(index)].hex() == commitment
            if (
                int(documents) != derived["documents"]
                or int(row) != derived["rows"][int(index)]
                or ingested["commitments"][int(row)].hex() != document
                or same == (redacted == "true")
            ):
                raise Bad(f"population.csv: member {number} is not what its batch says")
        self.report.ok(f"population.csv: {len(rows)} members, with the root that the dataset was frozen under")

    def check_sample(self, checkpoint: Checkpoint) -> None:
        rows = self.rows("population.csv")
        root = self.members_root() if rows else bytes(32)
        seed = sha256(b"attestune sample v1" + checkpoint.root + root).digest()
        drawn = sorted(rows, key=lambda row: sha256(seed + int(row[0]).to_bytes(8, "big")).digest())
        if self.rows("sample.csv") == drawn[: int(self.head["sample"])]:
            self.report.ok(f"sample.csv: the {len(self.rows('sample.csv'))} members that the seed draws")
        else:
            self.report.fail("sample.csv: not the members that the seed draws")

    def check_export(self, checkpoint: Checkpoint, key: bytes, keys: dict[str, tuple[bytes, str]]) -> None:
        """Somebody signed, on the log, to have taken out this very bundle."""
        data = self.parts[EXPORT[0]]
        proof, entry = read_proof(data), extra_of(data)
        newer = open_checkpoint(proof.checkpoint, key, self.head["origin"])
        envelope, event = self.event(entry)
        body = event["48"]
        if not inclusion_holds(leaf_hash(entry), proof.index, newer.size, newer.root, proof.hashes):
            raise Bad("export: the proof does not hold", proof.index)
        hashes = [from_base64(line) for line in self.parts[EXPORT[1]].decode().split("\n")[:-1]]
        if not consistency_holds(checkpoint.size, checkpoint.root, newer.size, newer.root, hashes):
            raise Bad("export: the log did not go on from the bundle's checkpoint to this one")
        actors = {keys[signature["keyid"]][1] for signature in envelope["signatures"] if signature["keyid"] in keys}
        self.signatures(envelope, keys, proof.index)
        head, texts = self.head, [bytes.fromhex(name.removeprefix("texts/")) for _, _, name in self.manifest.texts]
        positions = self.positions()
        says = (body["kind"], body["purpose"], body["model"], body["version"], body["size"], body["positions"], body["texts"])
        is_ = (
            ["complete", "slice"].index(head["kind"]) + 1,
            PURPOSES.index(head["purpose"]) + 1,
            head["model"],
            int(head["version"]),
            self.size,
            positions,
            texts,
        )
        if actors != {head["exporter"]} or event["actor"] != head["exporter"] or event["ledger"].hex() != head["ledger"]:
            raise Bad("export: not the exporter's act on this ledger", proof.index)
        if says != is_ or body["manifest"] != sha256(self.parts["manifest.txt"]).digest():
            raise Bad("export: the event names another bundle", proof.index)
        self.report.ok(f"export: {head['exporter']} signed at position {proof.index} to have taken out this very bundle")


def verify(data: bytes, ledger: bytes | None = None, key: bytes | None = None) -> Report:
    bundle = None
    try:
        bundle = Bundle(data, ledger, key)
        bundle.verify()
    except Bad as bad:
        report = bundle.report if bundle else Report()
        report.fail(f"bundle: {bad}", bad.position)
        return report
    except (zipfile.BadZipFile, wire.Malformed, ValueError, KeyError, IndexError, TypeError, StopIteration, AssertionError) as error:
        report = bundle.report if bundle else Report()
        report.fail(f"bundle: it can't be read: {type(error).__name__} {error}")
        return report
    return bundle.report


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def bytes_of_parts(data: bytes) -> Iterator[int]:
    """A byte in the middle of some parts, the small and the large ones."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        infos = [info for info in archive.infolist() if info.file_size]
    for info in infos[:: max(1, len(infos) // 40)]:
        start = info.header_offset + 30 + int.from_bytes(data[info.header_offset + 26 : info.header_offset + 28], "little")
        yield start + info.file_size // 2


def main() -> int:
    parser = argparse.ArgumentParser(description="Verifies a bundle of evidence of Attestune.")
    parser.add_argument("bundle", type=Path, help="what `attestune evidence export` wrote")
    parser.add_argument("--ledger", type=bytes.fromhex, help="the ledger id, 64 hex digits, known from outside")
    parser.add_argument("--checkpoint-key", type=read_key, help="the checkpoint key: hex, or ORIGIN+HEX+BASE64")
    parser.add_argument("--altered", action="store_true", help="alter copies, too: each must fail")
    given = parser.parse_args()
    data = given.bundle.read_bytes()
    report = verify(data, given.ledger, given.checkpoint_key)
    if given.altered:
        # Only bytes of parts: a zip's own frame says some things twice, and the Rust verifier asks for its one form.
        places = list(bytes_of_parts(data))
        missed = [at for at in places if not verify(flip(data, at), given.ledger).failures]
        if missed:
            report.fail(f"altered: nothing is said of byte {missed[0]} and {len(missed) - 1} others")
        else:
            report.ok(f"altered: each of {len(places)} copies with another byte in a part fails")
    print(*report.lines, f"{report.passed} passed, {len(report.failures)} failed", sep="\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
