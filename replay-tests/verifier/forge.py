"""Makes keys, signatures, events, checkpoints and exports for the tests. Its secrets are none."""

import base64
import hashlib

import ed25519
import wire
from judge import PAYLOAD_TYPE, keyid_of
from logfile import Entry


def secret(seed: bytes) -> int:
    return int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & (1 << 254) - 8 | 1 << 254


def public(seed: bytes) -> bytes:
    return ed25519.encode(ed25519.multiply(secret(seed), ed25519.BASE))


def scalar(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % ed25519.L


def sign(seed: bytes, message: bytes) -> bytes:
    """RFC 8032 section 5.1.6."""
    r = scalar(hashlib.sha512(seed).digest()[32:] + message)
    commitment = ed25519.encode(ed25519.multiply(r, ed25519.BASE))
    s = (r + scalar(commitment + public(seed) + message) * secret(seed)) % ed25519.L
    return commitment + s.to_bytes(32, "little")


def possession(ledger: bytes, actor: str, seed: bytes) -> bytes:
    return sign(seed, b"\x00".join([b"attestune key possession v1", ledger, actor.encode(), public(seed)]))


def note(seed: bytes, origin: str, size: int, root: bytes) -> bytes:
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    blob = hashlib.sha256(f"{origin}\n".encode() + b"\x01" + public(seed)).digest()[:4] + sign(seed, text.encode())
    return f"{text}\n— {origin} {base64.b64encode(blob).decode()}\n".encode()


def pae(payload: bytes, type_: str = PAYLOAD_TYPE) -> bytes:
    return f"DSSEv1 {len(type_)} {type_} {len(payload)} ".encode() + payload


def envelope(payload: bytes, *seeds: bytes, type_: str = PAYLOAD_TYPE) -> bytes:
    signed = pae(payload, type_)
    signatures = [wire.new("Signature", sig=sign(seed, signed), keyid=keyid_of(public(seed))) for seed in seeds]
    signatures.sort(key=lambda signature: str(signature["keyid"]))
    return wire.encode("Envelope", wire.new("Envelope", payload=payload, payload_type=type_, signatures=signatures))


def export(entries: list[Entry], notes: list[bytes]) -> bytes:
    out = b"attestune log export v1\n" + b"".join(base64.b64encode(note_) + b"\n" for note_ in notes)
    for position, entry in enumerate(entries):
        refusal, said = None, entry.verdict
        if said.code:
            message = "the bytes are not a DSSE envelope with an event in it"
            refusal = wire.new("RefusalInfo", code=said.code, message=message if said.code == "not-an-envelope" else "")
        frame = wire.new(
            "Decided", position=position, time_ms=entry.time, verdict=said.number, refusal=refusal,
            envelope=entry.value, effects_digest=said.digest,
        )  # fmt: skip
        out += wire.varint(len(wire.encode("Decided", frame))) + wire.encode("Decided", frame)
    return out
