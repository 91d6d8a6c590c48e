"""What the console says of roles is what the node holds callers to."""

from saga.v1 import operator_service_pb2 as pb

from orchestrator.console.page import NAVIGATION
from orchestrator.console.pages.act import ABOUT
from orchestrator.console.roles import ACTIONS, ROLES
from orchestrator.rpc.access.permissions import METHODS, OPERATOR_SERVICE, Permission
from orchestrator.rpc.access.permissions import ROLES as GIVEN


def test_each_method_has_the_least_role_that_may_call_it() -> None:
    methods = pb.DESCRIPTOR.services_by_name["SagaOperatorService"].methods_by_name
    takes = {name: METHODS[f"/{OPERATOR_SERVICE}/{name}"] for name in methods}
    least = {name: next(role for role in GIVEN if permission in GIVEN[role]) for name, permission in takes.items()}
    assert {name: str(role) for name, role in least.items() if takes[name] is not Permission.KNOWN} == ROLES


def test_each_action_and_each_page_has_its_method() -> None:
    assert set(ACTIONS) == set(ABOUT)
    assert {method for *_, method in NAVIGATION} <= set(ROLES)
