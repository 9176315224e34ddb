"""Protobuf as formats.md tells it: the messages, a lax decoder, and the encoder that makes the canonical form."""

import re
from pathlib import Path
from typing import Any, NamedTuple

Message = dict[str, Any]


class Malformed(Exception):
    """The bytes do not parse."""


# "Kinds".
KINDS = {
    20: "LedgerCreated", 21: "RulesActivated", 22: "PolicyAdopted", 23: "StateAttested", 24: "ClockCorrected",
    30: "KeyRegistered", 31: "KeyRevoked", 32: "RoleGranted", 33: "RoleWithdrawn", 40: "DocumentsIngested",
    41: "ExamplesDerived", 42: "ExamplesScanned", 43: "ExamplesChecked", 44: "LeakageChecked", 45: "DatasetFrozen",
    46: "ContentAccessed", 47: "AccessDenied", 48: "EvidenceExported", 55: "ReviewAssigned", 56: "ExamplesReviewed",
    57: "ReviewReopened", 60: "SubjectErased", 61: "ErasureDecided", 62: "LegalHoldPlaced", 63: "LegalHoldReleased", 70: "BaseModelRegistered", 71: "TrainingRequested",
    72: "TrainingClaimed", 73: "TrainingProgressed", 74: "TrainingCompleted", 75: "TrainingFailed",
    76: "HyperparametersSelected", 77: "TrainingReproduced", 85: "SuiteRegistered", 86: "EvaluationRequested",
    87: "EvaluationClaimed", 88: "EvaluationCompleted", 89: "EvaluationFailed", 95: "ModelRegistered",
    96: "PromotionRequested", 97: "PromotionApproved", 98: "PromotionRejected", 99: "PromotionWithdrawn",
    100: "RolledBack", 101: "ServingHalted", 102: "ServingConfirmed", 110: "ExperimentStarted", 111: "ExperimentConcluded", 120: "WindowObserved", 121: "AlertRaised", 122: "AlertAcknowledged", 123: "ScheduleSet",
}  # fmt: skip

# "Enumerations": the values are 1 to this number.
ENUMERATIONS = {
    "HumanReview": 3, "Bound": 2, "Role": 13, "ActorKind": 3, "KeyAlgorithm": 1, "KeyCustody": 2, "RevocationReason": 4,
    "Quality": 4, "ReviewVerdict": 3, "ReviewReason": 5, "FailureReason": 6, "Reproduction": 3, "Stage": 3,
    "ApprovalMeaning": 2, "RejectionReason": 3, "RollbackReason": 4, "Kind": 123, "Verdict": 4,
    "BundleKind": 2, "ExportPurpose": 5,
    "ErasureGround": 6, "ErasureDecision": 3, "ServingOccasion": 3, "MetricKind": 2, "StopMethod": 2, "Conclusion": 5, "AlertKind": 9, "AlertAction": 6,
    "SkipReason": 4, "WorkStatus": 4, "PromotionStatus": 5,
}  # fmt: skip


class Field(NamedTuple):
    number: int
    name: str
    type: str  # a scalar, an enumeration or a message
    mark: str  # "*" repeated, "?" optional, or nothing

    @property
    def scalar(self) -> bool:
        """Is it a varint: a number, a boolean or an enumeration?"""
        return self.type in ("u32", "u64", "bool") or self.type in ENUMERATIONS


def read_tables() -> dict[str, dict[int, Field]]:
    tables: dict[str, dict[int, Field]] = {}
    for line in Path(__file__).with_name("messages.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            message, fields = line.split(": ")
            found = re.findall(r"(\d+) (\w+) (\w+)([*?]?)(?: · |$)", fields)
            tables[message] = {int(number): Field(int(number), *rest) for number, *rest in found}
    for kind, body in KINDS.items():  # the body's field is named by its kind
        tables["Event"][kind] = Field(kind, str(kind), body, "")
    return tables


MESSAGES = read_tables()


MAX_DEPTH = 100  # of groups in unknown fields


def new(message: str, /, **values: Any) -> Message:
    """A message with the fields given; all others have their default."""
    made: Message = {}
    for field in MESSAGES[message].values():
        if field.mark == "*":
            made[field.name] = []
        elif field.mark == "?" or field.type in MESSAGES:
            made[field.name] = None
        else:
            made[field.name] = {"string": "", "bytes": b"", "bool": False}.get(field.type, 0)
    assert values.keys() <= made.keys()
    return made | values


def kind(event: Message) -> int:
    """The event's kind: the number of the body's field, 0 without a body."""
    return next((k for k in KINDS if event[str(k)] is not None), 0)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for i in range(10):
        if at + i >= len(data):
            raise Malformed("cut off")
        number |= (data[at + i] & 0x7F) << 7 * i
        if data[at + i] < 0x80:
            if number >= 2**64:
                break
            return number, at + i + 1
    raise Malformed("a varint of more than 64 bits")


def read_length(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = read_varint(data, at)
    if at + length > len(data):
        raise Malformed("cut off")
    return data[at : at + length], at + length


def skip(data: bytes, at: int, number: int, wire: int) -> int:
    """Where the value of an unknown field ends."""
    groups: list[int] = []
    while True:
        match wire:
            case 0:
                _, at = read_varint(data, at)
            case 2:
                _, at = read_length(data, at)
            case 1 | 5:
                at += 8 if wire == 1 else 4
            case 3:
                groups.append(number)
            case 4 if groups and groups[-1] == number:
                groups.pop()
            case _:
                raise Malformed("a wire type that there is not here")
        if at > len(data) or len(groups) > MAX_DEPTH:
            raise Malformed("cut off, or groups too deep")
        if not groups:
            return at
        number, wire, at = read_tag(data, at)


def read_tag(data: bytes, at: int) -> tuple[int, int, int]:
    tag, at = read_varint(data, at)
    if tag >> 3 == 0 or tag >= 2**32:
        raise Malformed("a field number that there is not")
    return tag >> 3, tag & 7, at


def read_scalar(type_: str, data: bytes, at: int) -> tuple[int | bool, int]:
    number, at = read_varint(data, at)
    if type_ == "bool":
        return number != 0, at
    if type_ in ENUMERATIONS:
        number %= 2**32  # an int32
        return number if number < 2**31 else number - 2**32, at
    return number if type_ == "u64" else number % 2**32, at


def read_content(type_: str, content: bytes) -> bytes | str | Message:
    if type_ in MESSAGES:
        return decode(type_, content)
    try:
        return content.decode("utf-8") if type_ == "string" else content
    except UnicodeDecodeError:
        raise Malformed("a string that is not UTF-8") from None


def decode(message: str, data: bytes) -> Message:
    """Parses laxly: any order, unknown fields, long varints. What came twice does not come out as canonical form."""
    made, at = new(message), 0
    while at < len(data):
        number, wire, at = read_tag(data, at)
        field = MESSAGES[message].get(number)
        if field is None:
            at = skip(data, at, number, wire)
            continue
        if field.scalar and wire == 2 and field.mark == "*":
            packed, at = read_length(data, at)
            start = 0
            while start < len(packed):
                number, start = read_scalar(field.type, packed, start)
                made[field.name].append(number)
            continue
        if wire != (0 if field.scalar else 2):
            raise Malformed("a field of another wire type")
        value: Any
        if field.scalar:
            value, at = read_scalar(field.type, data, at)
        else:
            content, at = read_length(data, at)
            value = read_content(field.type, content)
        if field.mark == "*":
            made[field.name].append(value)
        else:
            made[field.name] = value
    return made


def varint(number: int) -> bytes:
    """The shortest; a negative enumeration is one of 64 bits, in ten bytes."""
    out, number = bytearray(), number % 2**64
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def delimited(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def encode(message: str, values: Message) -> bytes:
    """The canonical form."""
    out = bytearray()
    for field in sorted(MESSAGES[message].values()):
        value = values[field.name]
        if field.mark == "*" and field.scalar:
            if value:
                out += delimited(field.number, b"".join(map(varint, value)))
            continue
        for element in value if field.mark == "*" else [value]:
            if field.type in MESSAGES:
                if element is not None:
                    out += delimited(field.number, encode(field.type, element))
            elif element or (field.mark and element is not None):
                if field.scalar:
                    out += varint(field.number << 3) + varint(element)
                else:
                    out += delimited(field.number, element.encode() if field.type == "string" else element)
    return bytes(out)


def is_canonical(message: str, values: Message, data: bytes) -> bool:
    return encode(message, values) == data


def is_canonical_event(event: Message, data: bytes) -> bool:
    """In canonical form with at most one body."""
    return sum(event[str(k)] is not None for k in KINDS) <= 1 and is_canonical("Event", event, data)
