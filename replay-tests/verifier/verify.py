#!/usr/bin/env python3
"""Verifies an exported log of Attestune. Written from docs/formats.md alone, whose headings are in "quotes".

Exit status: 0 if every check passed, 1 if one failed.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from judge import ACCEPTED, REFUSED, Fold
from logfile import (
    NOTHING,
    VERDICTS,
    Bad,
    Export,
    inclusion_holds,
    open_checkpoint,
    read_export,
    read_key,
    read_proof,
)

SHOWN = 20  # of the entries that are no event, or refused


@dataclass
class Report:
    """What was checked. A failure has the range of positions where the log differs, if that can be told."""

    lines: list[str] = field(default_factory=list)
    passed: int = 0
    failures: list[tuple[int, int] | None] = field(default_factory=list)

    def ok(self, text: str) -> None:
        self.lines.append(f"ok    {text}")
        self.passed += 1

    def note(self, text: str) -> None:
        self.lines.append(f"note  {text}")

    def fail(self, text: str, first: int | None = None, last: int | None = None) -> None:
        self.lines.append(f"FAIL  {text}")
        self.failures.append(None if first is None else (first, first if last is None else last))


def check(
    data: bytes,
    ledger: bytes | None = None,
    key: bytes | None = None,
    earlier: list[bytes] | None = None,
    proofs: list[bytes] | None = None,
) -> Report:
    """ "What a verifier does": all steps, on the bytes of an export."""
    report, fold = Report(), Fold()
    try:
        export = read_export(data)
    except Bad as bad:
        report.fail(f"export: {bad}")
        return report
    if export.fault:
        report.fail(f"export: {export.fault}", export.fault.position)
    else:
        report.ok(f"export: {len(export.entries)} entries, numbered from 0 without a gap")
    for entry in export.entries:
        fold.take(entry)

    genesis = next((i for i, judged in enumerate(fold.judged) if judged.verdict.number == ACCEPTED), None)
    if genesis is None or fold.ledger is None:
        why = fold.judged[0].verdict.code if fold.judged else "there is none"
        report.fail(f"genesis: position 0: {why}", 0)
        return report
    known: bytes = fold.ledger["checkpoint_key"]
    report.ok(f"genesis: position {genesis} founds {fold.ledger['name']}, root actors {fold.ledger['root_actors']}")
    compare(report, genesis, "ledger id", fold.ledger["ledger_id"], ledger)
    compare(report, genesis, "checkpoint key", known, key)
    judge_entries(report, fold, export)

    origin = f"attestune/{fold.ledger['name']}/{fold.ledger['ledger_id'].hex()[:16]}"
    check_entry_tree(report, fold, export, known, origin)
    check_verdict_tree(report, fold, export, known, f"{origin}/verdicts")
    for note in earlier or []:
        check_earlier(report, fold, note, known, origin)
    for proof in proofs or []:
        check_proof(report, fold, proof, known, origin)
    return report


def compare(report: Report, genesis: int, what: str, found: bytes, outside: bytes | None) -> None:
    if outside is None:
        report.note(f"{what}: {found.hex()}, compared with nothing: the log's origin is unknown")
    elif outside == found:
        report.ok(f"{what}: {found.hex()}, as known from outside")
    else:
        text = f"{what}: position {genesis}: the genesis has {found.hex()}, from outside known is {outside.hex()}"
        report.fail(text, genesis)


def judge_entries(report: Report, fold: Fold, export: Export) -> None:
    """Compares our verdicts with the exporter's. Forged entries may stand in an honest log, as no events."""
    pairs = [(judged, entry.verdict) for judged, entry in zip(fold.judged, export.entries, strict=True)]
    signed = sum(judged.signed for judged, _ in pairs)
    report.note(
        f"signatures: {signed} of {len(pairs)} entries are events in canonical form, with {fold.signatures} signatures "
        f"that hold; {fold.registrations} keys were registered, fit and proven possessed"
    )
    # An event of kind 40 or above that passes all guards is accepted, or refused by its kind's own rule.
    differ = [
        i
        for i, (judged, said) in enumerate(pairs)
        if (
            said.number not in (ACCEPTED, REFUSED) or (said.number == REFUSED and said.digest != NOTHING)
            if judged.untold
            else said != judged.verdict
        )
    ]
    own = sum(not judged.untold for judged, _ in pairs)
    if differ:
        judged, said = pairs[differ[0]]
        ours = "accepted, or refused by its kind" if judged.untold else judged.verdict
        text = f"verdicts: position {differ[0]}: the exporter says {said}, the rules say {ours}"
        report.fail(text + (f"; {len(differ) - 1} more differ" if len(differ) > 1 else ""), differ[0])
    else:
        report.ok(f"verdicts: {own} of {len(pairs)} come out the same here, with code and effects digest")
        if own < len(pairs):
            report.note(f"verdicts: {len(pairs) - own} are by rules that formats.md does not have: the exporter's word")
    counts = Counter(said.number for _, said in pairs)
    report.note(f"verdicts: {', '.join(f'{counts[number]} {name}' for number, name in VERDICTS.items())}")
    odd = [(i, judged.verdict) for i, (judged, _) in enumerate(pairs) if judged.verdict.code]
    for i, verdict in odd[:SHOWN]:
        report.note(f"position {i}: {VERDICTS[verdict.number]}, {verdict.code}")
    if len(odd) > SHOWN:
        report.note(f"... and {len(odd) - SHOWN} more")


def check_entry_tree(report: Report, fold: Fold, export: Export, key: bytes, origin: str) -> None:
    try:
        checkpoint = open_checkpoint(export.checkpoints[0], key, origin)
    except Bad as bad:
        report.fail(f"entry tree: {bad}")
        return
    size, entries = checkpoint.size, len(export.entries)
    if size <= entries and fold.entries.roots[size] == checkpoint.root:
        report.ok(f"entry tree: the root of the first {size} entries is the checkpoint's, signed as {origin}")
        if size < entries:
            report.note(f"entry tree: entries {size} to {entries - 1} are not covered by the checkpoint")
        return
    first, last = altered(fold, export, size)
    where = f"position {first}" if first == last else f"positions {first} to {last}"
    what = "its root is not the checkpoint's" if size <= entries else f"it has {entries} entries, not {size}"
    report.fail(f"entry tree: {where}: the log first differs here from what was signed: {what}", first, last)


def altered(fold: Fold, export: Export, size: int) -> tuple[int, int]:
    """Between which positions was the log first altered? Every signed event says what its signer had seen before.

    One that fits shows that so many entries are whole. One that was accepted and does not fit any more shows an
    alteration before what it saw (or up to itself, if entries were dropped).
    """
    roots, whole, differs = fold.entries.roots, 0, size
    for i, (judged, entry) in enumerate(zip(fold.judged, export.entries, strict=True)):
        if judged.seen:
            seen, root = judged.seen
            if seen <= i and roots[seen] == root:
                whole = max(whole, seen)
            elif entry.verdict.number == ACCEPTED and whole < seen:
                differs = min(differs, max(min(seen, i + 1), whole + 1))
    return whole, max(whole, differs - 1)


def check_verdict_tree(report: Report, fold: Fold, export: Export, key: bytes, origin: str) -> None:
    try:
        checkpoint = open_checkpoint(export.checkpoints[1], key, origin)
    except Bad as bad:
        report.fail(f"verdict tree: {bad}")
        return
    size, entries = checkpoint.size, len(export.entries)
    if size > entries:
        report.fail(f"verdict tree: the checkpoint covers {size} verdicts, the log has {entries} entries")
    elif fold.verdicts.roots[size] != checkpoint.root:
        report.fail(f"verdict tree: the root of the first {size} verdicts is not the checkpoint's")
    else:
        report.ok(f"verdict tree: the root of the first {size} verdicts is the checkpoint's, signed as {origin}")


def check_earlier(report: Report, fold: Fold, note: bytes, key: bytes, origin: str) -> None:
    """An older checkpoint that somebody kept: the log must begin with the entries it covers."""
    try:
        checkpoint = open_checkpoint(note, key, origin)
    except Bad as bad:
        report.fail(f"earlier checkpoint: {bad}")
        return
    size = checkpoint.size
    if size < len(fold.entries.roots) and fold.entries.roots[size] == checkpoint.root:
        report.ok(f"earlier checkpoint: the log begins with the {size} entries that it covers")
    else:
        report.fail(f"earlier checkpoint: the log does not begin with the {size} entries that it covers")


def check_proof(report: Report, fold: Fold, data: bytes, key: bytes, origin: str) -> None:
    """ "Proofs": a tlog-proof of an entry that stands in this log."""
    try:
        proof = read_proof(data)
        checkpoint = open_checkpoint(proof.checkpoint, key, origin)
    except Bad as bad:
        report.fail(f"tlog-proof: {bad}")
        return
    index, size = proof.index, checkpoint.size
    if index >= len(fold.entries.leaves):
        report.fail(f"tlog-proof: position {index}: the log has no such entry", index)
    elif inclusion_holds(fold.entries.leaves[index], index, size, checkpoint.root, proof.hashes):
        report.ok(f"tlog-proof: position {index} is in the tree of {size} entries")
    else:
        report.fail(f"tlog-proof: position {index}: the proof does not hold in the tree of {size} entries", index)


def main() -> int:
    parser = argparse.ArgumentParser(description="Verifies an exported log of Attestune.")
    parser.add_argument("export", type=Path, help="what `attestune log export` wrote")
    parser.add_argument("--ledger", type=bytes.fromhex, help="the ledger id, 64 hex digits, known from outside")
    parser.add_argument("--checkpoint-key", type=read_key, help="the checkpoint key: hex, or ORIGIN+HEX+BASE64")
    parser.add_argument("--earlier", type=Path, action="append", default=[], help="a checkpoint that you kept")
    parser.add_argument("--proof", type=Path, action="append", default=[], help="a tlog-proof of an entry")
    given = parser.parse_args()
    report = check(
        given.export.read_bytes(),
        given.ledger,
        given.checkpoint_key,
        [path.read_bytes() for path in given.earlier],
        [path.read_bytes() for path in given.proof],
    )
    print(*report.lines, f"{report.passed} passed, {len(report.failures)} failed", sep="\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
