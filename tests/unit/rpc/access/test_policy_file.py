"""The policy file: what a good one says, and what a bad one is told."""

from pathlib import Path

import pytest

from orchestrator.engine.stored import Visibility
from orchestrator.rpc.access.errors import PolicyError
from orchestrator.rpc.access.permissions import Permission
from orchestrator.rpc.access.policy import Grant, Issuer, Policy, Subject
from orchestrator.rpc.access.policy_file import MAX_POLICY_BYTES, parse_policy, read_policy

FOLDER = Path("/etc/saga")
ISSUER = '[[issuer]]\nname = "login"\nissuer = "https://login.test"\naudience = "saga"\njwks = "keys.json"\n'
SHOP = "spiffe://example.test/shop"


def parse(text: str) -> Policy:
    return parse_policy(text.encode(), FOLDER / "policy.toml")


def grant(policy: Policy, name: str = SHOP, issuer: str | None = None, **claims: str) -> Grant:
    subject = Subject(name, issuer, {claim: frozenset([value]) for claim, value in claims.items()})
    found = policy.grant(subject, 1e10)
    assert found is not None
    return found


def entry(lines: str, *, issuer: bool = False) -> Policy:
    return parse(f"{ISSUER}[[identity]]\n{'' if issuer else f'spiffe = {SHOP!r}'}\n{lines}")


def test_an_empty_policy_knows_nobody() -> None:
    assert parse("").grant(Subject(SHOP), 1e10) is None


def test_an_issuer() -> None:
    assert parse(ISSUER).issuers == {
        "https://login.test": Issuer("login", "https://login.test", ("saga",), FOLDER / "keys.json")
    }
    several = (
        ISSUER.replace('"saga"', '["a", "b"]').replace("keys.json", "https://login.test/keys") + 'ca_file = "ca"\n'
    )
    assert parse(several).issuers["https://login.test"] == Issuer(
        "login", "https://login.test", ("a", "b"), "https://login.test/keys", FOLDER / "ca"
    )


def test_a_starter_sees_its_own_and_starts_what_is_named() -> None:
    given = grant(entry('roles = ["starter"]\ndefinitions = ["place-order"]\ntenant = "acme"'))
    (scope,) = given.scopes[Permission.FOLLOW]
    assert scope.identity.visibility == Visibility(("acme",), SHOP)
    assert (scope.identity.name, scope.identity.tenant, scope.identity.roles) == (SHOP, "acme", ("starter",))
    assert scope.identity.operator_methods == frozenset({"GetIdentity"})
    assert given.definitions == frozenset({"place-order"})
    assert set(given.scopes) == {Permission.KNOWN, Permission.START, Permission.FOLLOW, Permission.CANCEL}


def test_a_star_is_every_definition() -> None:
    assert grant(entry('roles = ["starter"]\ndefinitions = ["*"]')).definitions is None


def test_readers_see_their_tenants_without_payloads_and_operators_with() -> None:
    reader = grant(entry('roles = ["reader"]\ntenants = ["globex", "acme"]'))
    (scope,) = reader.scopes[Permission.READ]
    assert scope.identity.visibility == Visibility(("acme", "globex"))
    assert not scope.shows_payloads
    operator = grant(entry('roles = ["operator"]\ntenants = ["*"]'))
    (scope,) = operator.scopes[Permission.OPERATE]
    assert scope.identity.visibility.is_total
    assert scope.shows_payloads
    assert Permission.ADMINISTER not in operator.scopes
    assert Permission.START not in operator.scopes


def test_without_tenants_it_is_its_own_that_are_seen() -> None:
    (scope,) = grant(entry('roles = ["reader"]\ntenant = "acme"')).scopes[Permission.READ]
    assert scope.identity.visibility == Visibility(("acme",))
    (scope,) = grant(entry('roles = ["reader"]')).scopes[Permission.READ]
    assert scope.identity.visibility == Visibility(("",))


def test_its_own_tenant_is_the_only_one_that_it_sees() -> None:
    for tenants, home in (('["acme"]', "acme"), ('["acme", "globex"]', ""), ('["*"]', "")):
        (scope,) = grant(entry(f'roles = ["operator"]\ntenants = {tenants}')).scopes[Permission.OPERATE]
        assert scope.identity.tenant == home


def test_an_admin_may_do_everything_everywhere() -> None:
    given = grant(entry('roles = ["admin"]'))
    assert set(given.scopes) == set(Permission) - {Permission.OPEN}
    assert given.definitions is None
    assert all(scope.identity.visibility.is_total for scopes in given.scopes.values() for scope in scopes)


def test_a_starter_who_reads_follows_its_own_with_payloads_and_others_without() -> None:
    given = grant(entry('roles = ["starter", "reader"]\ndefinitions = ["a"]\ntenant = "acme"'))
    own, wide = given.scopes[Permission.FOLLOW]
    assert (own.identity.visibility, own.shows_payloads) == (Visibility(("acme",), SHOP), True)
    assert (wide.identity.visibility, wide.shows_payloads) == (Visibility(("acme",)), False)
    assert [scope.identity.visibility for scope in given.scopes[Permission.CANCEL]] == [Visibility(("acme",), SHOP)]


def test_who_is_named_goes_before_whom_claims_describe() -> None:
    group = '[[identity]]\nissuer = "login"\nclaims = { group = "g" }\nroles = ["reader"]\n'
    more = '[[identity]]\nissuer = "login"\nclaims = { group = "h" }\nroles = ["operator"]\n'
    ada = '[[identity]]\nissuer = "login"\nsubject = "ada"\nroles = ["admin"]\n'
    wary = '[[identity]]\nissuer = "login"\nsubject = "ada"\nclaims = { mfa = "no" }\nroles = ["reader"]\n'
    policy = parse(ISSUER + group + more + ada + wary)
    roles = {
        tuple(claims.items()): grant(policy, name, "login", **claims).scopes[Permission.KNOWN][0].identity.roles
        for name, claims in (
            ("login/ada", {"group": "g"}),
            ("login/ada", {"mfa": "no"}),
            ("login/bob", {"group": "h"}),
            ("login/bob", {"group": "g", "other": "h"}),
        )
    }
    assert list(roles.values()) == [("admin",), ("reader",), ("operator",), ("reader",)]
    assert policy.grant(Subject("login/bob", "login"), 1e10) is None
    assert policy.claims_of("login") == {"group", "mfa"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[identity]\n", "line 1"),
        ("x = 1", "x: Extra inputs"),
        ('[[identity]]\nroles = ["admin"]', "[[identity]] number 1: name it by spiffe, or by issuer"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nissuer = "login"\nroles = ["admin"]', "one of the two"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nsubject = "a"\nroles = ["admin"]', "go with issuer"),
        ('[[identity]]\nspiffe = "spiffe://Example.test/x"\nroles = ["admin"]', "[[identity]] number 1, spiffe"),
        ('[[identity]]\nspiffe = "spiffe://example.test/"\nroles = ["admin"]', "[[identity]] number 1, spiffe"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = []', "roles"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["owner"]', "[[identity]] number 1, roles.0"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["admin"]\nroels = 1', "roels: Extra inputs"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["starter"]', "starter and definitions go together"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["reader"]\ndefinitions = ["a"]', "go together"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["starter"]\ndefinitions = ["*", "a"]', "stands alone"),
        (
            f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["starter"]\ndefinitions = ["a"]\ntenants = ["b"]',
            "tenants are for",
        ),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["admin"]\ntenants = ["b"]', "leave tenants out"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["reader"]\ntenants = []', "tenants"),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["reader"]\ntenants = ["a b"]', "tenants.0"),
        (
            f'[[identity]]\nspiffe="{SHOP}"\nroles=["starter", "reader"]\ndefinitions=["a"]\ntenants=["b", "c"]',
            "would not see what it starts",
        ),
        (f'[[identity]]\nspiffe = "{SHOP}"\nroles = ["admin"]\n' * 2, "[[identity]] number 2: an entry before it"),
        ('[[identity]]\nissuer = "login"\nsubject = "a"\nroles = ["admin"]', "no [[issuer]] has the name login"),
        (f'{ISSUER}[[identity]]\nissuer = "login"\nroles = ["admin"]', "an issuer alone would be everybody"),
        (f'{ISSUER}[[identity]]\nissuer = "login"\nsubject = ""\nroles = ["admin"]', "subject"),
        (f'{ISSUER}[[identity]]\nissuer = "login"\nsubject = "{"a" * 251}"\nroles = ["admin"]', "number 1, subject"),
        (f'{ISSUER}[[identity]]\nissuer = "login"\nclaims = {{ a = 1 }}\nroles = ["admin"]', "claims.a"),
        (ISSUER * 2, "[[issuer]] number 2: an entry before it has the same name"),
        (ISSUER.replace("keys.json", "http://login.test/k"), "over http anybody on the way"),
        (ISSUER.replace("keys.json", "ftp://login.test/k"), "jwks: write https://"),
        (ISSUER.replace("keys.json", "https://a:b@login.test/k"), "no user, password or fragment"),
        (ISSUER + 'ca_file = "x"', "ca_file goes with a URL"),
        (ISSUER.replace('"saga"', "[]"), "audience"),
        (ISSUER.replace('name = "login"', 'name = "log/in"'), "[[issuer]] number 1, name"),
        ("a = " + "[" * 5000, "policy.toml"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_named(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse(text)
    assert told in str(refused.value)
    assert str(refused.value).startswith("/etc/saga/policy.toml: ")


def test_keys_over_http_are_taken_from_this_machine_alone() -> None:
    for host in ("127.0.0.1:80", "localhost", "[::1]:8080"):
        assert parse(ISSUER.replace("keys.json", f"http://{host}/k")).issuers
    for host in ("10.0.0.1", "localhost.example", "127.0.0.1.example"):
        with pytest.raises(PolicyError):
            parse(ISSUER.replace("keys.json", f"http://{host}/k"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    with pytest.raises(PolicyError, match="cannot be read"):
        read_policy(file)
    file.write_bytes(b"\xff")
    with pytest.raises(PolicyError, match="UTF-8"):
        read_policy(file)
    file.write_bytes(b"#" * (MAX_POLICY_BYTES + 1))
    with pytest.raises(PolicyError, match="bytes"):
        read_policy(file)
