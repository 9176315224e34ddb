"""Compares what gRPC says of triage@1 with what `attestune provenance triage@1 --json` said.

    grpc_agrees.py HOST:PORT FOLDER

FOLDER holds expected.json (the command's answer) and, if grpcurl ran, its grpcurl.json, services and health.json.
Every message type comes by server reflection; nothing here knows our .proto files.
"""

import base64
import json
import os
import pathlib
import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

SERVICES = {f"attestune.v1.{name}" for name in ("Admin", "Content", "Ledger", "Provenance", "Receipts", "Registry")}
METHOD = "/attestune.v1.Provenance/GetModelVersion"


def as_the_command_writes(message):
    """Bytes in hex, 64-bit numbers as numbers, enums by name, fields without presence always there."""
    out = {}
    for field in message.DESCRIPTOR.fields:
        if field.has_presence and not message.HasField(field.name):
            continue
        value = getattr(message, field.name)
        out[field.name] = [of(field, each) for each in value] if field.is_repeated else of(field, value)
    return out


def of(field, value):
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return as_the_command_writes(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return value.hex()
    if field.type == FieldDescriptor.TYPE_ENUM:
        return field.enum_type.values_by_number[value].name
    return value


def check(what, holds):
    if not holds:
        sys.exit(f"grpc_agrees: {what}: NO")
    print(f"  {what}: yes")


def main():
    address, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    expected = json.loads((folder / "expected.json").read_text())
    channel = grpc.insecure_channel(address)
    database = ProtoReflectionDescriptorDatabase(channel)
    check("reflection lists every service", SERVICES <= set(database.get_services()))
    pool = descriptor_pool.DescriptorPool(database)
    message = lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"attestune.v1.{name}"))
    request, answer = message("GetModelVersionRequest"), message("ModelVersion")
    call = channel.unary_unary(
        METHOD, request_serializer=request.SerializeToString, response_deserializer=answer.FromString
    )

    bearer = [("authorization", f"Bearer {os.environ['ATTESTUNE_TOKEN']}")]
    version = call(request(model="triage", version=1), metadata=bearer)
    check("Python's answer is the command's", as_the_command_writes(version) == expected)
    path = [expected["batches"][0]["documents"]["count"], expected["dataset"]["count"]]
    path += [len(expected[part]) for part in ("evaluations", "promotions")]
    check("document → example → dataset → run → version → evaluation → approval", path == [3, 3, 1, 1]
          and expected["run"]["position"] == expected["version"]["run"]
          and len(expected["promotions"][0]["approvals"]) == 1)
    if (folder / "grpcurl.json").exists():
        theirs = json_format.Parse((folder / "grpcurl.json").read_text(), answer())
        check("grpcurl's answer is the command's", as_the_command_writes(theirs) == expected)
        check("grpcurl lists every service", SERVICES <= set((folder / "services").read_text().split()))
        health = json.loads((folder / "health.json").read_text())
        check("grpcurl reads the health", health == {"status": "SERVING"})

    for metadata, code, reason in (
        (None, grpc.StatusCode.UNAUTHENTICATED, "token-missing"),
        ([("authorization", "Bearer " + base64.urlsafe_b64encode(b"x").decode())],
         grpc.StatusCode.UNAUTHENTICATED, "token-malformed"),
        (bearer, grpc.StatusCode.NOT_FOUND, "not-found"),
    ):
        try:
            call(request(model="triage", version=9), metadata=metadata)
            check(f"a wrong call fails with {reason}", False)
        except grpc.RpcError as error:
            info = error_details_pb2.ErrorInfo()
            details = rpc_status.from_call(error).details
            found = len(details) == 1 and details[0].Unpack(info)
            check(f"a wrong call fails with {reason}",
                  error.code() == code and found and (info.reason, info.domain) == (reason, "attestune"))


main()
