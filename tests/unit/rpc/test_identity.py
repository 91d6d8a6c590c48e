"""What the node says about whoever asks who it takes them for."""

from saga.v1 import operator_service_pb2 as pb

from orchestrator.engine.stored import Visibility
from orchestrator.rpc.identity import LOCAL, Identity
from orchestrator.rpc.operator_messages import identity_message


def test_where_nobody_is_asked_everybody_is_local_and_may_do_everything() -> None:
    told = identity_message(LOCAL)
    assert (told.name, list(told.roles), told.all_tenants, told.HasField("expire_time")) == ("local", [], True, False)
    assert set(told.methods) == set(pb.DESCRIPTOR.services_by_name["SagaOperatorService"].methods_by_name)


def test_a_known_caller_is_told_its_roles_tenants_and_end() -> None:
    ada = Identity("ada", "blue", Visibility(tenants=("blue", "")), roles=("reader",), expires_at_s=1_790_000_000.5)
    told = identity_message(ada)
    assert (told.name, list(told.roles), list(told.tenants), told.all_tenants) == (
        "ada",
        ["reader"],
        ["blue", ""],
        False,
    )
    assert told.expire_time.ToMilliseconds() == 1_790_000_000_500


def test_whoever_may_see_no_tenant_may_not_see_all() -> None:
    told = identity_message(Identity("nobody", visibility=Visibility(tenants=())))
    assert (list(told.tenants), told.all_tenants) == ([], False)
