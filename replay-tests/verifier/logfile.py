"""What an exported log consists of: trees, proofs, checkpoints, entries. Headings of formats.md are in "quotes"."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from hashlib import sha256

import ed25519
import wire

NOTHING = sha256().digest()  # the root of an empty tree, and the digest of no effects
VERDICTS = {1: "accepted", 2: "refused", 3: "duplicate", 4: "no event"}


class Bad(ValueError):
    """A check failed. The text says why; `position` is the entry that it is about."""

    def __init__(self, text: str, position: int | None = None):
        super().__init__(text if position is None else f"position {position}: {text}")
        self.position = position


# "Entry tree" and "Proofs"


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A Merkle tree of RFC 6962 section 2.1 that keeps its root at every size."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.roots = [NOTHING]
        self.peaks: list[bytes] = []  # the roots of the complete subtrees, the largest first

    def append(self, leaf: bytes) -> None:
        node, size = leaf, len(self.leaves)
        while size & 1:
            node, size = node_hash(self.peaks.pop(), node), size >> 1
        self.peaks.append(node)
        self.leaves.append(leaf)
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = node_hash(peak, root)
        self.roots.append(root)


def inclusion_holds(leaf: bytes, index: int, size: int, root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistency_holds(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2."""
    if old == 0 or old == new:
        return not proof and old_root == (NOTHING if old == 0 else new_root)
    hashes = ([old_root] if old & (old - 1) == 0 else []) + proof
    if old > new or not hashes:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = hashes[0]
    for p in hashes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(p, fr), node_hash(p, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


# "Checkpoint"


def from_base64(text: str) -> bytes:
    """RFC 4648 section 4, only in its canonical form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if base64.b64encode(data).decode() != text:
        raise Bad("base64 that is not canonical")
    return data


@dataclass
class Checkpoint:
    origin: str
    size: int
    root: bytes


def open_checkpoint(note: bytes, key: bytes, origin: str) -> Checkpoint:
    """The signed note's tree head, if `key` signed it under the name `origin`."""
    if len(note) > 256 * 1024 or any(byte < 0x20 and byte != 0x0A for byte in note):
        raise Bad("no signed note: too long, or control characters")
    try:
        text, _, signatures = note.decode("utf-8").rpartition("\n\n")
    except UnicodeDecodeError:
        raise Bad("no signed note: not UTF-8") from None
    lines = text.split("\n")
    if len(lines) != 3 or not signatures.endswith("\n"):
        raise Bad("no checkpoint: other than three lines, an empty line and signatures")
    if lines[0] != origin:
        raise Bad(f"the checkpoint's origin is {lines[0]!r}, not {origin!r}")
    if not re.fullmatch("0|[1-9][0-9]{0,19}", lines[1]) or int(lines[1]) >= 2**64:
        raise Bad("the checkpoint's size is no decimal number")
    root = from_base64(lines[2])
    if len(root) != 32:
        raise Bad("the checkpoint's root has not 32 bytes")
    key_id = sha256(origin.encode() + b"\n\x01" + key).digest()[:4]
    ours = 0
    for line in signatures.removesuffix("\n").split("\n"):
        form = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
        if not form:
            raise Bad("the checkpoint has a signature line of another form")
        blob = from_base64(form[2])
        if len(blob) < 5:
            raise Bad("the checkpoint has a signature line of another form")
        if form[1] == origin and blob[:4] == key_id:
            if not ed25519.holds(key, (text + "\n").encode(), blob[4:]):
                raise Bad("the checkpoint's signature does not hold")
            ours += 1
    if ours == 0:
        raise Bad("the checkpoint is not signed by the checkpoint key")
    return Checkpoint(origin, int(lines[1]), root)


def read_key(text: str) -> bytes:
    """A public key: hex, or what a verifier key holds."""
    if re.fullmatch("[0-9a-f]{64}", text):
        return bytes.fromhex(text)
    form = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(.+)", text)
    blob = from_base64(form[3]) if form else b""
    if not form or len(blob) != 33 or blob[0] != 1 or sha256(f"{form[1]}\n".encode() + blob).hexdigest()[:8] != form[2]:
        raise Bad(f"{text!r} is no key")
    return blob[1:]


# "Export"


@dataclass
class Verdict:
    """What a fold makes of an entry, as its leaf in the "verdict tree" has it."""

    number: int
    code: str = ""
    digest: bytes = NOTHING  # of the effects

    def leaf(self, position: int, entry_leaf: bytes) -> bytes:
        code = self.code.encode()
        head = position.to_bytes(8, "big") + entry_leaf + bytes([self.number, len(code)])
        return leaf_hash(head + code + self.digest)

    def __str__(self) -> str:
        return " ".join(
            [VERDICTS.get(self.number, "no verdict"), *([self.code] if self.code else []), self.digest.hex()[:16]]
        )


@dataclass
class Entry:
    time: int
    value: bytes
    verdict: Verdict  # as the exporter says


@dataclass
class Export:
    checkpoints: list[bytes]  # the entry tree's, the verdict tree's
    entries: list[Entry] = field(default_factory=list)
    fault: Bad | None = None  # the first, if the frames are not as they should be


def read_export(data: bytes) -> Export:
    lines = data.split(b"\n", 3)
    if len(lines) != 4 or lines[0] != b"attestune log export v1":
        raise Bad("no export: the head is another")
    export, at = Export([from_base64(line.decode("latin-1")) for line in lines[1:3]]), 0
    rest = lines[3]
    while at < len(rest):
        try:
            content, at = wire.read_length(rest, at)
            frame = wire.decode("Decided", content)
        except wire.Malformed as fault:
            export.fault = export.fault or Bad(f"the entry is cut off or broken ({fault})", len(export.entries))
            break
        position, refusal, number = len(export.entries), frame["refusal"], frame["verdict"]
        verdict = Verdict(number, refusal["code"] if refusal else "", frame["effects_digest"])
        if frame["position"] != position:
            found = f"here stands an entry that calls itself {frame['position']}: dropped, added or swapped"
            export.fault = export.fault or Bad(found, position)
        elif len(content) > 131_072 or not wire.is_canonical("Decided", frame, content):
            export.fault = export.fault or Bad("the entry is too long, or not in canonical form", position)
        if (
            number not in VERDICTS
            or bool(verdict.code) != (number in (2, 4))
            or len(verdict.code.encode()) > 255
            or len(verdict.digest) != 32
        ):
            export.fault = export.fault or Bad("the entry's verdict, code or digest is none", position)
            verdict = Verdict(0)
        export.entries.append(Entry(frame["time_ms"], frame["envelope"], verdict))
    return export


@dataclass
class Proof:
    index: int
    hashes: list[bytes]
    checkpoint: bytes


def read_proof(data: bytes) -> Proof:
    """A tlog-proof, "a single proof as a file"."""
    head, _, checkpoint = data.partition(b"\n\n")
    form = re.fullmatch(
        r"c2sp\.org/tlog-proof@v1\n(?:extra \S+\n)?index (0|[1-9][0-9]{0,19})((?:\n\S+){0,64})", head.decode("latin-1")
    )
    if not form:
        raise Bad("no tlog-proof")
    hashes = [from_base64(line) for line in form[2].split()]
    if any(len(hash_) != 32 for hash_ in hashes):
        raise Bad("a hash of the tlog-proof has not 32 bytes")
    return Proof(int(form[1]), hashes, checkpoint)
