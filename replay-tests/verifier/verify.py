#!/usr/bin/env python3
"""Verifies an exported log of Attestune. Written from docs/formats.md alone, whose headings are in "quotes".

Exit status: 0 if every check passed, 1 if one failed.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from judge import ACCEPTED, DUPLICATE, GARBAGE, REFUSED, UNTOLD, Fold
from logfile import Bad, Checkpoint, Export, Tree, inclusion_holds, open_checkpoint, read_export, read_key, read_proof

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
    for _, time, value in export.entries:
        fold.take(time, value)

    genesis = next((i for i, verdict in enumerate(fold.judged) if verdict.number == ACCEPTED), None)
    if genesis is None or fold.ledger is None:
        report.fail(f"genesis: position 0: {fold.judged[0].code}" if fold.judged else "genesis: there is none", 0)
        return report
    known: bytes = fold.ledger["checkpoint_key"]
    report.ok(f"genesis: position {genesis} founds {fold.ledger['name']}, root actors {fold.ledger['root_actors']}")
    compare(report, genesis, "ledger id", fold.ledger["ledger_id"], ledger)
    compare(report, genesis, "checkpoint key", known, key)
    judge_entries(report, fold)

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


def judge_entries(report: Report, fold: Fold) -> None:
    """Says what the entries are. Forged and broken ones may stand in an honest log, as no events."""
    counts = Counter(verdict.number for verdict in fold.judged)
    signed = sum(verdict.signed for verdict in fold.judged)
    report.ok(
        f"signatures: {signed} entries are events in canonical form with {fold.signatures} true signatures, "
        f"by {fold.registrations} keys that are fit and proven possessed"
    )
    report.note(
        f"verdicts: {counts[ACCEPTED]} accepted, {counts[REFUSED]} refused, {counts[DUPLICATE]} duplicates, "
        f"{counts[GARBAGE]} no events, {counts[UNTOLD]} left to rules that formats.md does not have"
    )
    odd = [(i, verdict) for i, verdict in enumerate(fold.judged) if verdict.number in (REFUSED, GARBAGE)]
    for i, verdict in odd[:SHOWN]:
        report.note(f"position {i}: {'no event' if verdict.number == GARBAGE else 'refused'}, {verdict.code}")
    if len(odd) > SHOWN:
        report.note(f"... and {len(odd) - SHOWN} more")


def fits(report: Report, what: str, checkpoint: Checkpoint, tree: Tree, entries: int) -> bool:
    """Are there as many entries as the checkpoint covers?"""
    if checkpoint.size > entries:
        text = f"{what}: position {entries}: the log ends here, the checkpoint covers {checkpoint.size} entries"
        report.fail(text, entries, checkpoint.size - 1)
    return checkpoint.size < len(tree.roots)


def check_entry_tree(report: Report, fold: Fold, export: Export, key: bytes, origin: str) -> None:
    try:
        checkpoint = open_checkpoint(export.checkpoints[0], key, origin)
    except Bad as bad:
        report.fail(f"entry tree: {bad}")
        return
    size, entries = checkpoint.size, len(export.entries)
    # `seen` of the signed events tells between which positions the log was altered.
    last = min([size, *(differs for differs in fold.differs if differs > fold.whole)]) - 1
    if not fits(report, "entry tree", checkpoint, fold.entries, entries):
        return
    if fold.entries.roots[size] != checkpoint.root:
        first = min(fold.whole, max(last, 0))
        where = f"position {first}" if first == last else f"positions {first} to {last}"
        odd = [f"{i} {fold.judged[i].code}" for i in range(first, last + 1) if fold.judged[i].number == GARBAGE]
        text = f"entry tree: {where}: here the log first differs from what was signed"
        report.fail(text + (f" (no event: {', '.join(odd[:SHOWN])})" if odd else ""), first, last)
        return
    report.ok(f"entry tree: the root of the first {size} entries is the checkpoint's, signed as {origin}")
    if size < entries:
        report.note(f"entry tree: entries {size} to {entries - 1} are not covered by the checkpoint")


def check_verdict_tree(report: Report, fold: Fold, export: Export, key: bytes, origin: str) -> None:
    try:
        checkpoint = open_checkpoint(export.checkpoints[1], key, origin)
    except Bad as bad:
        report.fail(f"verdict tree: {bad}")
        return
    told = len(fold.verdicts.leaves)
    if not fits(report, "verdict tree", checkpoint, fold.verdicts, len(export.entries)):
        if checkpoint.size <= len(export.entries):
            report.ok(f"verdict tree: the checkpoint over {checkpoint.size} verdicts is signed as {origin}")
            report.note(f"verdict tree: its root was not compared: the rule for position {told} is not in formats.md")
    elif fold.verdicts.roots[checkpoint.size] != checkpoint.root:
        text = f"verdict tree: the root of the first {checkpoint.size} verdicts is not the checkpoint's"
        report.fail(text, 0, checkpoint.size - 1)
    else:
        report.ok(f"verdict tree: the root of the first {checkpoint.size} verdicts is the checkpoint's, as {origin}")


def check_earlier(report: Report, fold: Fold, note: bytes, key: bytes, origin: str) -> None:
    """An older checkpoint that somebody kept: the log must begin with the entries it covers."""
    try:
        checkpoint = open_checkpoint(note, key, origin)
    except Bad as bad:
        report.fail(f"earlier checkpoint: {bad}")
        return
    if fits(report, "earlier checkpoint", checkpoint, fold.entries, len(fold.entries.leaves)):
        if fold.entries.roots[checkpoint.size] == checkpoint.root:
            report.ok(f"earlier checkpoint: the log begins with the {checkpoint.size} entries that it covers")
        else:
            report.fail(f"earlier checkpoint: the first {checkpoint.size} entries are others", 0, checkpoint.size - 1)


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
