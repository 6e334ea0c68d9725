"""What an answer of the Temporal server says of a workflow, and what it does not."""

import pytest
from google.protobuf.any_pb2 import Any
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, NotFoundFailure
from temporalio.service import RPCError, RPCStatusCode

from cattery.temporal.client import is_unknown_workflow


def _answer(
    status: RPCStatusCode, *details: NamespaceNotFoundFailure | NotFoundFailure
) -> RPCError:
    said = GrpcStatus(code=status.value)
    for each in details:
        packed = Any()
        packed.Pack(each)
        said.details.append(packed)
    return RPCError("not found", status, said.SerializeToString())


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (_answer(RPCStatusCode.NOT_FOUND, NotFoundFailure()), True),
        (_answer(RPCStatusCode.NOT_FOUND), True),
        (_answer(RPCStatusCode.NOT_FOUND, NamespaceNotFoundFailure(namespace="cats")), False),
        (_answer(RPCStatusCode.UNAVAILABLE), False),
    ],
    ids=["no such workflow", "no details", "no such namespace", "away"],
)
def test_only_a_server_that_looked_knows_of_no_workflow(error: RPCError, known: bool) -> None:
    assert is_unknown_workflow(error) is known
