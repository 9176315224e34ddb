#!/usr/bin/env python3
"""Tests the verifier by itself: with the vectors of formats.md and of RFC 8032, and with logs made to deceive."""

import base64
import hashlib
import random
import re
import sys
import traceback
import zipfile
from io import BytesIO
from pathlib import Path

import ed25519
import wire
from adversary import Author
from bundle import Bundle, Disclosed, is_part, rows_of, shares_bytes
from forge import envelope, export, note, possession, public, scalar, secret, sign
from judge import DUPLICATE, GARBAGE, REFUSED, Fold
from logfile import (
    NOTHING,
    Bad,
    Entry,
    Tree,
    Verdict,
    consistency_holds,
    inclusion_holds,
    leaf_hash,
    node_hash,
    open_checkpoint,
    read_key,
    read_proof,
)
from verify import Report, check
from wire import Message

GENESIS = bytes.fromhex(
    """
    0a8a020a10000000000000000000000000000000011a036164612080d0eab6b733a201e8010a0464656d6f126e0a036164611203416461
    1a208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c2240f86dd1ce404b80f12b0269d388b546dbc49e07
    b7c83aaba43ab801d1f8952774fc67e2a97fbaec9ef5a4d8030545c5e60dcc406fad8eea288f697b3cb1cfe8001801224a08011a080a03
    7069691201312a0b080212017318f0fd3928012a0d080312017318f0fd392801300130e0d40338e0d4034080b899294880b8992950e0d4
    035880b899296a05081e120101280132208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394122b6170706c
    69636174696f6e2f766e642e617474657374756e652e6576656e742e76312b70726f746f6275661a640a4067b08eca38357c953be055a5
    d1dc9c306d43dc36715d09c9bd0fb9ec4869fd110e5023e8fde69895fedb41b89daffbd9c26288a02100753fc58642e9224bb700122033
    34373530663938626435396663666339343664613435616161626539333362
    """
)
REGISTERED = bytes.fromhex(
    """
    0adf010a1000000000000000000000000000000002122067d099b05761945f39a5c680f43f972cccfb048eaf0308504a7bcd0330bdc362
    1a036164612080d0eab6b7332a2408011220f7d62a211b75b3aca936bd2bc4b72728454257e82dfb2157d44c15e5824e3044f201760a04
    72697461120452697461180120012a20ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d132402ad80bbdca
    1d095c508061e929a2947d80c58b3e4b22b4939128421f6d37235009e3180c965c67661d74305e05ed0c8a9aead05743f3013ae24c1f74
    287922003801122b6170706c69636174696f6e2f766e642e617474657374756e652e6576656e742e76312b70726f746f6275661a640a40
    881fde22994972c9124dd166a9cc235c9abe71b7ae3fe5ae5077e1dd332d0e94ea64e63bf416298e80685997f25206a3715b656ef3ae52
    ccb2109f9d2f26880912203334373530663938626435396663666339343664613435616161626539333362
    """
)
START = 1_767_225_600_000
EXAMPLE = [(START, GENESIS), (START + 1000, REGISTERED), (START + 500, b"hello"), (START + 2000, REGISTERED)]
LEDGER = bytes.fromhex("67d099b05761945f39a5c680f43f972cccfb048eaf0308504a7bcd0330bdc362")
ORIGIN = "attestune/demo/67d099b05761945f"
ENTRY_NOTE = f"""{ORIGIN}
4
hEAgpNM0RnHphPmeaTTBIGDmqCRNSp9H17ER4Xq/LAY=

— {ORIGIN} vxln5v37xSzgWoyB1WJ/JkA/8rqkSf0/y+7YWlz5dWTrfAQt5CbLuzR/5ALxxq/zw5yUXRJl9y2spMWzNU+ory8mmQo=
"""
VERDICT_NOTE = f"""{ORIGIN}/verdicts
4
gowIlCxO9X7tJr7sNKANEoPvTceL9fzuuQgVzZBbpdo=

— {ORIGIN}/verdicts tlJ8eIfn7yzZc4NX3ESmAgZMPhHrO+4BsD+6z4E+X3ENOFIwMnwurPoCNTk/2ILAjw0cLaE2A13OOBU2O1oay1XU8gI=
"""
ROOT_SEED, CHECKPOINT_SEED = b"\x01" * 32, b"\x02" * 32


def fold_of(entries: list[tuple[int, bytes]]) -> Fold:
    fold = Fold()
    for time, value in entries:
        fold.take(Entry(time, value, Verdict(1)))
    return fold


def decided(entries: list[tuple[int, bytes]], fold: Fold) -> list[Entry]:
    return [Entry(time, value, judged.verdict) for (time, value), judged in zip(entries, fold.judged, strict=True)]


def example(entries: list[tuple[int, bytes]], resign: bool = False) -> Report:
    fold, notes = fold_of(entries), [ENTRY_NOTE.encode(), VERDICT_NOTE.encode()]
    if resign:  # by somebody who holds the checkpoint key
        notes = [
            note(CHECKPOINT_SEED, ORIGIN, len(entries), fold.entries.roots[-1]),
            note(CHECKPOINT_SEED, f"{ORIGIN}/verdicts", len(entries), fold.verdicts.roots[-1]),
        ]
    return check(export(decided(entries, fold), notes), LEDGER, public(CHECKPOINT_SEED))


class Skipped(Exception):
    pass


# Tests


def test_rules() -> None:
    """Judges the events of adversary.py, whose author wrote down what the page makes of each."""
    seeds = [b"\x21" * 32, b"\x22" * 32]
    policy = wire.decode("Event", wire.decode("Envelope", GENESIS)["payload"])["20"]["policy"]
    body = wire.new(
        "LedgerCreated", name="x", threshold=2, rules_version=1, checkpoint_key=public(CHECKPOINT_SEED),
        policy=policy | {"permissions": [{"kind": kind, "roles": [1]} for kind in (30, 31, 32, 33)]},
        root_keys=[
            wire.new("RootKey", actor=actor, printed_name="A B", public_key=public(seed))
            | {"possession": possession(b"", actor, seed)}
            for actor, seed in zip(("ada", "ben"), seeds, strict=True)
        ],
    )  # fmt: skip
    event = wire.new("Event", id=b"g" * 16, actor="ada") | {"20": body}
    fold = fold_of([(START, envelope(wire.encode("Event", event), *seeds))])
    author = Author(fold, seeds)
    author.write()
    for code, value in author.made:
        fold.take(Entry(START + 5, value, Verdict(1)))
        verdict = fold.judged[-1].verdict
        found = "duplicate" if verdict.number == DUPLICATE else verdict.code
        assert found == code, (code, verdict, value.hex())


def test_rfc_8032_vectors() -> None:
    for seed, key, message, signature in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ]:
        assert public(bytes.fromhex(seed)).hex() == key
        assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature
        assert ed25519.is_fit(bytes.fromhex(key))
        assert ed25519.holds(bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature))
        assert not ed25519.holds(bytes.fromhex(key), bytes.fromhex(message) + b"!", bytes.fromhex(signature))


def test_strict_ed25519() -> None:
    key, signature = public(ROOT_SEED), sign(ROOT_SEED, b"message")
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    assert ed25519.holds(key, b"message", signature)
    assert not ed25519.holds(key, b"message", r + (s + ed25519.L).to_bytes(32, "little")), "S + L"
    assert not ed25519.holds(key, b"message", signature[:63])
    # R is the identity and the equation holds: S = k * secret.
    identity = ed25519.encode(ed25519.IDENTITY)
    s = scalar(identity + key + b"message") * secret(ROOT_SEED) % ed25519.L
    assert not ed25519.holds(key, b"message", identity + s.to_bytes(32, "little")), "R of small order"
    for small in ed25519.SMALL_ORDER:
        point = ed25519.decode(small)
        assert point and ed25519.is_identity(ed25519.multiply(8, point))
        assert not ed25519.is_fit(small)
        assert not ed25519.holds(small, b"message", key + (1).to_bytes(32, "little")), "A of small order"
        # A key plus a point of small order: on the curve, but of no prime order.
        sum_ = ed25519.encode(ed25519.add(ed25519.decode(key) or point, point))
        assert ed25519.is_fit(sum_) == (small == identity)
        # Holds with the cofactor, not without it.
        commitment = ed25519.encode(ed25519.add(ed25519.decode(r) or point, point))
        s = (scalar(hashlib.sha512(ROOT_SEED).digest()[32:] + b"message")) % ed25519.L
        s = (s + scalar(commitment + key + b"message") * secret(ROOT_SEED)) % ed25519.L
        assert ed25519.holds(key, b"message", commitment + s.to_bytes(32, "little")) == (small == identity)
    for y in range(2**255 - 19, 2**255):
        assert ed25519.decode(y.to_bytes(32, "little")) is None, "y not below the prime"


def test_like_openssl() -> None:
    """Skipped without the package `cryptography`."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    except ImportError:
        raise Skipped("the package cryptography is not here") from None
    chance = random.Random(8032)
    for _ in range(50):
        seed, message = chance.randbytes(32), chance.randbytes(chance.randrange(100))
        signature = bytearray(Ed25519PrivateKey.from_private_bytes(seed).sign(message))
        assert sign(seed, message) == signature
        if chance.random() < 0.5:
            signature[chance.randrange(64)] ^= 1 << chance.randrange(8)
        try:
            Ed25519PublicKey.from_public_bytes(public(seed)).verify(bytes(signature), message)
            holds = True
        except InvalidSignature:
            holds = False
        assert ed25519.holds(public(seed), message, bytes(signature)) == holds


def naive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it is written there."""
    if len(leaves) < 2:
        return leaves[0] if leaves else NOTHING
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m < k:
        return [*path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*path(m - k, leaves[k:]), naive_root(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """RFC 6962 section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if m <= k:
        return [*subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def test_trees() -> None:
    tree = Tree()
    for entry in ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]:
        tree.append(leaf_hash(bytes.fromhex(entry)))
    assert tree.leaves[0].hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree.roots[2].hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    assert tree.roots[8].hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_proofs() -> None:
    tree = Tree()
    for i in range(33):
        tree.append(leaf_hash(bytes([i])))
    for size in range(34):
        assert tree.roots[size] == naive_root(tree.leaves[:size])
        for i in range(size):
            proof = path(i, tree.leaves[:size])
            assert inclusion_holds(tree.leaves[i], i, size, tree.roots[size], proof)
            assert not inclusion_holds(tree.leaves[i], i, size, tree.roots[size], [*proof, NOTHING])
            assert not proof or not inclusion_holds(tree.leaves[i], i, size, tree.roots[size], proof[:-1])
            assert not inclusion_holds(tree.leaves[i], size, size, tree.roots[size], proof)
            assert size == 1 or not inclusion_holds(tree.leaves[i], (i + 1) % size, size, tree.roots[size], proof)
        for old in range(size + 1):
            proof = [] if old in (0, size) else subproof(old, tree.leaves[:size], True)
            assert consistency_holds(old, tree.roots[old], size, tree.roots[size], proof)
            assert not consistency_holds(old, b"\1" * 32, size, tree.roots[size], proof)
            assert old == 0 or not consistency_holds(old, tree.roots[old], size, b"\1" * 32, proof)
            assert not consistency_holds(old, tree.roots[old], size, tree.roots[size], [*proof, NOTHING])
            assert not proof or not consistency_holds(old, tree.roots[old], size, tree.roots[size], proof[:-1])


def test_verifier_key() -> None:
    assert len(read_key("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")) == 32
    for wrong in ["", "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", "ab" * 31]:
        try:
            read_key(wrong)
        except Bad:
            continue
        raise AssertionError(wrong)


def test_example_of_the_page() -> None:
    report = example(EXAMPLE)
    assert not report.failures and report.passed == 7, report.lines
    fold = fold_of(EXAMPLE)
    assert [(judged.verdict.number, judged.verdict.code) for judged in fold.judged] == [
        (1, ""), (1, ""), (GARBAGE, "not-an-envelope"), (DUPLICATE, ""),
    ]  # fmt: skip
    frame = """
    7e080210f4d3eab6b733180422480a0f6e6f742d616e2d656e76656c6f7065123574686520627974657320617265206e6f742061204453534520656e
    76656c6f7065207769746820616e206576656e7420696e2069742a0568656c6c6f3220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca4
    95991b7852b855
    """
    assert bytes.fromhex(frame) in export(decided(EXAMPLE, fold), [])
    digest = "46496ceb10c467a614af3a00da6882906d8111e261ef6766b9dca23341322056"
    assert fold.judged[1].verdict.digest.hex() == digest
    assert fold.entries.leaves[2].hex() == "515a5ff809e7b1953f86e888b8c7823a428d9b9bf49cec78495466a84a641aa8"
    assert fold.verdicts.leaves[1].hex() == "6093c404ff179ad53e9ce07b0a3a34993e6806aa01ceb1725ac6fe349f598ce3"


def test_checkpoints_are_read_strictly() -> None:
    key = public(CHECKPOINT_SEED)
    assert open_checkpoint(ENTRY_NOTE.encode(), key, ORIGIN).size == 4
    witness = note(b"\x05" * 32, "witness", 4, NOTHING).decode().split("\n\n")[1]
    assert open_checkpoint((ENTRY_NOTE + witness).encode(), key, ORIGIN).size == 4
    for wrong in [
        ENTRY_NOTE.replace("\n4\n", "\n5\n"),
        ENTRY_NOTE.replace("\n4\n", "\n04\n"),
        ENTRY_NOTE.replace("\n4\n", "\n+4\n"),
        ENTRY_NOTE.replace("LAY=", "LAZ="),
        ENTRY_NOTE.replace("LAY=\n", "LAY=\nextension\n"),
        ENTRY_NOTE.replace("— ", "- "),
        ENTRY_NOTE.replace("mQo=", "mQp="),
        ENTRY_NOTE.replace("\n\n", "\n"),
        ENTRY_NOTE + ENTRY_NOTE.split("\n\n")[1].replace("v37x", "v38x"),
        ENTRY_NOTE.rstrip("\n"),
        ENTRY_NOTE.replace("\n4", "\r\n4"),
        ENTRY_NOTE.split("\n\n")[0] + "\n\n" + witness,
        VERDICT_NOTE,
        note(ROOT_SEED, ORIGIN, 4, NOTHING).decode(),
    ]:
        try:
            open_checkpoint(wrong.encode(), key, ORIGIN)
        except Bad:
            continue
        raise AssertionError(wrong)


def test_single_proofs() -> None:
    tree = fold_of(EXAMPLE).entries
    hashes = "".join(base64.b64encode(hash_).decode() + "\n" for hash_ in path(1, tree.leaves))
    proof = f"c2sp.org/tlog-proof@v1\nindex 1\n{hashes}\n{ENTRY_NOTE}"
    data = export(decided(EXAMPLE, fold_of(EXAMPLE)), [ENTRY_NOTE.encode(), VERDICT_NOTE.encode()])
    assert read_proof(proof.replace("index", "extra YQ==\nindex").encode()).index == 1
    assert not check(data, LEDGER, public(CHECKPOINT_SEED), [ENTRY_NOTE.encode()], [proof.encode()]).failures
    for wrong in [proof.replace("index 1", "index 2"), proof.replace("index 1", "index 4"), proof.replace("v1", "v2")]:
        assert check(data, proofs=[wrong.encode()]).failures


def test_canonical_form() -> None:
    """Variants of entry 1 that mean the same, signed by ada, but are not in canonical form."""
    first = wire.decode("Envelope", REGISTERED)
    payload, sealed = first["payload"], wire.delimited(7, wire.delimited(1, b"p"))
    for name, changed, code in [
        ("as it is", payload, ""),
        ("cause 0 is set", payload.replace(b"\xf2\x01", b"\x30\x00\xf2\x01", 1), ""),
        ("a number 0 is written", payload.replace(b"\x2a\x24", b"\x20\x00\x2a\x24", 1), "not-canonical"),
        ("a long varint", payload.replace(b"\x2a\x24", b"\x2a\xa4\x00", 1), "not-canonical"),
        ("an unknown field", payload.replace(b"\xf2\x01", b"\x40\x01\xf2\x01", 1), "not-canonical"),
        ("an unknown group", payload.replace(b"\xf2\x01", b"\x43\x08\x01\x44\xf2\x01", 1), "not-canonical"),
        (
            "a group that ends as another",
            payload.replace(b"\xf2\x01", b"\x43\x08\x01\x4c\xf2\x01", 1),
            "not-an-envelope",
        ),
        ("two bodies", payload + wire.delimited(31, b""), "not-canonical"),
        ("a field after the body", payload + sealed, "not-canonical"),
        ("cut off", payload[:-1], "not-an-envelope"),
        ("another wire type", payload + b"\x38\x01", "not-an-envelope"),
        ("no UTF-8", payload.replace(b"\x1a\x03ada", b"\x1a\x03ad\xff"), "not-an-envelope"),
        ("no body", payload.split(b"\xf2\x01")[0], "unknown-kind"),
        ("a kind that there is not", payload.split(b"\xf2\x01")[0] + wire.delimited(124, b"?"), "not-canonical"),
    ]:
        fold = fold_of([EXAMPLE[0], (START + 1000, envelope(changed, ROOT_SEED))])
        assert fold.judged[1].verdict.code == code, (name, fold.judged[1])
    assert fold_of([EXAMPLE[0], (1, REGISTERED + b"\x1a\x00")]).judged[1].verdict.code == "signatures-unordered"
    assert fold_of([EXAMPLE[0], (1, REGISTERED + b"\x22\x00")]).judged[1].verdict.code == "not-canonical"
    assert fold_of([EXAMPLE[0], (1, b"x" * 65_528)]).judged[1].verdict.code == "too-large"
    for length, code in [(65_528, "too-large"), (65_527, "not-an-envelope")]:
        short = b"attestune/large\n" + length.to_bytes(8, "big") + bytes(32)
        assert fold_of([EXAMPLE[0], (1, short)]).judged[1].verdict.code == code


def test_forgeries_under_the_checkpoint_key() -> None:
    """Who holds the checkpoint key can sign any log, but not make its events."""
    first = wire.decode("Envelope", REGISTERED)
    first["signatures"][0]["sig"] = sign(b"\x06" * 32, b"")
    forged = wire.encode("Envelope", first)
    report = example([EXAMPLE[0], (START + 1000, forged)], resign=True)
    assert "note  position 1: no event, bad-signature" in report.lines
    # The genesis taken in at another time: what ada saw is no longer there.
    report = example([(START + 1, GENESIS), *EXAMPLE[1:]], resign=True)
    assert "note  position 1: refused, seen-unknown" in report.lines
    # An event that another ledger's id stands in.
    event = wire.decode("Event", first["payload"])
    foreign = envelope(wire.encode("Event", event | {"ledger": b"\x07" * 32}), ROOT_SEED)
    assert fold_of([EXAMPLE[0], (START, foreign)]).judged[1].verdict.code == "other-ledger"
    # The id used again, for something else.
    again = envelope(wire.encode("Event", event | {"claimed_at_ms": 1}), ROOT_SEED)
    verdict = fold_of([*EXAMPLE, (START, again)]).judged[4].verdict
    assert (verdict.number, verdict.code) == (REFUSED, "id-used")


def test_every_flipped_byte_is_found() -> None:
    """But for the explanation of a refusal, which is for people and not hashed."""
    data = export(decided(EXAMPLE, fold_of(EXAMPLE)), [ENTRY_NOTE.encode(), VERDICT_NOTE.encode()])
    message = data.index(b"the bytes are not")
    chance = random.Random(6962)
    for at in chance.sample(range(len(data)), 300):
        flipped = data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        report = check(flipped, LEDGER, public(CHECKPOINT_SEED))
        assert report.failures or message <= at < message + 53, (at, report.lines)


POLICY = wire.decode("Event", wire.decode("Envelope", GENESIS)["payload"])["20"]["policy"]


def slice_of(answer: Message, **head: str) -> Bundle:
    """A slice of which only the answer is looked at: about triage@2 at 90 in a log of 100 entries."""
    bundle = Bundle.__new__(Bundle)
    bundle.report, bundle.size = Report(), 100
    bundle.head = {"model": "triage", "version": "2", "at": "90", "ledger": LEDGER.hex()} | head
    bundle.parts = {"answer": wire.encode("WhyInForceResponse", answer), "policy": wire.encode("Policy", POLICY)}
    return bundle


def answered() -> Message:
    """Why triage@2 is in force: a promotion at 60, decided at 70, from one run on one dataset."""
    evaluation = wire.new("EvaluationRow", position=50, model="triage", version=2, suite=30)
    version = wire.new("VersionRow", model="triage", version=2, position=45, run=40, base=10, production_promotion=60)
    return wire.new(
        "WhyInForceResponse", version=2, since_position=70, as_of_position=90, policy_version=1, in_force=version,
        promotion=wire.new("PromotionRow", position=60, model="triage", version=2, decided_at=70, evaluations=[50]),
        evaluations=[wire.new("EvaluationProvenance", evaluation=evaluation, suite=wire.new("SuiteRow", position=30))],
        dataset=wire.new("DatasetRow", position=20), run=wire.new("RunRow", position=40, dataset=20, base=10),
        base=wire.new("BaseRow", position=10), policy=wire.new("PolicyRow", version=1, policy=POLICY),
        leakage=[wire.new("LeakageProvenance", dataset=20, suite=30, leakage=wire.new("LeakageRow", cases=9))],
        actors=[wire.new("ActorRow", actor="ada")],
    )  # fmt: skip


def wrote(answer: Message, at: int) -> dict[int, Disclosed]:
    """A disclosed entry that wrote all rows of an answer."""
    effects = b""
    for name, message, row in rows_of(answer):
        for part in (name, wire.encode(message, row or wire.new(message))):
            effects += len(part).to_bytes(4, "big") + part
    return {at: Disclosed(wire.new("Event"), wire.new("Envelope"), 1, effects)}


def told(bundle: Bundle, disclosed: dict[int, Disclosed]) -> str:
    try:
        bundle.check_answer(disclosed)
    except Bad as bad:
        return str(bad)
    return ""


def test_the_rows_of_an_answer_name_one_another() -> None:
    def other(**changes: object) -> str:
        answer = answered() | changes
        return told(slice_of(answer), wrote(answer, 80))

    assert other() == ""
    rollback = wire.new("HistoryEvent", position=85)
    assert other(since_position=85, rollback=rollback) == ""
    right, evaluated = answered(), answered()["evaluations"][0]
    of_another_suite = {"suite": wire.new("SuiteRow", position=31)}
    for changes in [
        {"in_force": right["in_force"] | {"version": 1}},
        {"promotion": right["promotion"] | {"model": "other"}},
        {"promotion": right["promotion"] | {"position": 61}},
        {"promotion": None},
        {"since_position": 85},
        {"rollback": rollback},
        {"since_position": 85, "rollback": rollback | {"position": 84}},
        {"evaluations": [evaluated | {"evaluation": evaluated["evaluation"] | {"version": 1}}]},
        {"evaluations": [evaluated | of_another_suite]},
        {"run": right["run"] | {"position": 41}},
        {"run": right["run"] | {"dataset": 21}},
        {"run": None, "dataset": None},
        {"dataset": None},
        {"base": right["base"] | {"position": 11}},
        {"leakage": [right["leakage"][0] | {"dataset": 21}]},
        {"in_force": None},
    ]:
        assert other(**changes) == "answer: its rows do not name one another", changes
    bare = wire.new("WhyInForceResponse", as_of_position=90, policy_version=1, policy=right["policy"])
    assert told(slice_of(bare, version="0"), wrote(bare, 80)) == ""
    assert told(slice_of(bare), wrote(bare, 80)) == "answer: it is to another question than the manifest's"


def test_the_rows_of_an_answer_are_as_the_disclosed_events_left_them() -> None:
    answer = answered()
    later = answer | {"actors": [wire.new("ActorRow", actor="ada", printed_name="Ada")]}
    bundle = slice_of(answer)
    assert told(bundle, wrote(answer, 90)) == ""
    assert told(bundle, wrote(answer, 80) | wrote(later, 91)) == "", "what came after the moment is another matter"
    for disclosed in [{}, wrote(answer, 91), wrote(answer, 80) | wrote(later, 90)]:
        assert "is not what the events of the bundle wrote" in told(bundle, disclosed)
    bundle.parts["policy"] += b"\x08\x01"
    assert told(bundle, wrote(answer, 80)) == "policy: not the answer's"
    bundle.parts["answer"] += wire.delimited(27, b"")
    assert told(bundle, wrote(answer, 80)) == "answer: not in canonical form"


def test_an_accepted_event_is_signed_by_a_key_of_its_actor() -> None:
    signed = wire.decode("Envelope", REGISTERED)
    event, keyid = wire.decode("Event", signed["payload"]), signed["signatures"][0]["keyid"]
    for actor, verdict, holds in [("ada", 1, True), ("ben", 1, False), ("ben", REFUSED, True)]:
        bundle, keys = slice_of(answered()), {keyid: (public(ROOT_SEED), actor)}
        try:
            bundle.check_signatures({1: Disclosed(event, signed, verdict, b"")}, keys)
        except Bad as bad:
            assert not holds and str(bad) == "position 1: no key of ada has signed it", bad
        else:
            assert holds, actor


def test_a_bundle_has_known_parts_only_and_they_share_no_bytes() -> None:
    for kind, name, known in [
        ("slice", "check.html", True), ("slice", "verdicts", True), ("slice", "effects/0000000007", True),
        ("slice", "judged/0000000007.tlog-proof", True), ("slice", "effects/0000000008", False),
        ("slice", "effects/7", False), ("slice", "log", False), ("slice", "report.html", False),
        ("complete", "log", True), ("complete", "leaves", True), ("complete", "effects/0000000007", False),
        ("complete", "checkpoint", False), ("complete", "texts/00", False),
    ]:  # fmt: skip
        assert is_part(kind, name, {7}) == known, (kind, name)
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("one", b"first")
        archive.writestr("other", b"second")
    with zipfile.ZipFile(out) as archive:
        places = [(info.header_offset, info.compress_size) for info in archive.infolist()]
    assert not shares_bytes(out.getvalue(), places)
    assert shares_bytes(out.getvalue(), [places[0], places[0]])
    assert shares_bytes(out.getvalue(), [(0, places[0][1] + 1), places[1]])


def test_tables_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    tables = dict(re.findall(r"^\| `(\w+)` \| (1 .*?) \|$", page, re.MULTILINE))
    for heading, rows in re.findall(r"^\| (`.*?) \| type \| meaning \|\n.*\n((?:\|.*\n)+)", page, re.MULTILINE):
        fields = re.findall(r"^\| (\d+ \w+) \| (\S+) \|", rows, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", heading):
            tables[name] = " · ".join(map(" ".join, fields))
    ours = {name: list(fields.values()) for name, fields in wire.MESSAGES.items()}
    ours["Event"] = [field for field in ours["Event"] if field.number not in wire.KINDS]
    missing = ours.keys() - tables.keys() - {"Seen", "Sealed", "RefusalInfo", "Figure"}  # these are told in sentences
    assert not missing, missing
    for name in ours.keys() & tables.keys():
        found = re.findall(r"(\d+) (\w+) (\w+)([*?]?)(?: · |$)", tables[name])
        assert [(str(f.number), *f[1:]) for f in ours[name]] == found, name
    found = re.findall(r"(\d+) ([A-Z]\w+)", page.split("### Kinds")[1].split("###")[0])
    kinds = {int(number): name for number, name in found}
    assert wire.KINDS == kinds


def main() -> int:
    passed = failed = 0
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            try:
                test()
            except Skipped as why:
                print(f"SKIPPED: {name[5:].replace('_', ' ')}, {why}")
            except Exception:
                traceback.print_exc(file=sys.stdout)
                print(f"FAIL  {name[5:].replace('_', ' ')}")
                failed += 1
            else:
                print(f"ok    {name[5:].replace('_', ' ')}")
                passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
