"""Tokens: one that is good lets its bearer in, and nothing else does."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from saga.v1 import operator_service_pb2 as pb

from tests.fixtures.tokens import TokenIssuer, bearer, encode, new_key, sign
from tests.security.access.served import CALL_S, Guarded, told

CANARY = "canary-4711"


async def identity(guarded: Guarded, metadata: tuple[tuple[str, str], ...]) -> pb.GetIdentityResponse:
    answer: pb.GetIdentityResponse = await guarded.operators().GetIdentity(
        pb.GetIdentityRequest(), timeout=CALL_S, metadata=metadata
    )
    return answer


async def refusal(guarded: Guarded, metadata: tuple[tuple[str, str], ...]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await identity(guarded, metadata)
    error = told(caught.value)
    assert error.reason == error.code.name
    return error.code, error.message


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_good_token_names_its_bearer(guarded: Guarded, algorithm: str) -> None:
    guarded.issuer.keys.append(new_key(f"k-{algorithm}", algorithm))
    await guarded.publish()
    token = guarded.issuer.token("reader", aud=["another", "saga-orchestrator"])
    answer = await identity(guarded, bearer(token))
    assert (answer.name, list(answer.roles), list(answer.tenants)) == ("login/reader", ["reader"], ["acme"])
    assert answer.expire_time.seconds == jwt.decode(token, options={"verify_signature": False})["exp"] // 1
    assert "SearchSagas" in answer.methods
    assert "RetryNow" not in answer.methods


async def test_a_group_is_known_by_its_claim(guarded: Guarded) -> None:
    for groups in ("saga-operators", ["staff", "saga-operators"]):
        answer = await identity(guarded, bearer(guarded.issuer.token("bob", groups=groups)))
        assert (answer.name, list(answer.roles)) == ("login/bob", ["operator"])
    wrong: tuple[Any, ...] = ("saga-operators ", ["staff"], {"saga-operators": True}, 7, [["saga-operators"]])
    for groups in wrong:
        code, _ = await refusal(guarded, bearer(guarded.issuer.token("bob", groups=groups)))
        assert code is grpc.StatusCode.PERMISSION_DENIED


Forge = Callable[[TokenIssuer], str]


def unsigned(issuer: TokenIssuer) -> str:
    _, claims, _ = issuer.token("admin").split(".")
    return f"{encode({'alg': 'none', 'kid': 'first'})}.{claims}."


def signed_with_the_public_key(issuer: TokenIssuer) -> str:
    """The classic: the public key is taken for a shared secret."""
    public = issuer.keys[0].private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(issuer.token("admin"), options={"verify_signature": False})
    signing = f"{encode({'alg': 'HS256', 'kid': 'first', 'typ': 'JWT'})}.{encode(claims)}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(signing.encode(), public)
    return f"{signing}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def another_payload(issuer: TokenIssuer) -> str:
    head, _, tail = issuer.token("reader").split(".")
    return f"{head}.{issuer.token('admin').split('.')[1]}.{tail}"


NOW = time.time
BAD: dict[str, Forge] = {
    "unsigned": unsigned,
    "signed with the public key": signed_with_the_public_key,
    "another payload": another_payload,
    "another's key under the same name": lambda issuer: issuer.token("admin", key=new_key("first")),
    "a key that is not published": lambda issuer: issuer.token("admin", key=new_key("other")),
    "another algorithm under the same name": lambda issuer: issuer.token("admin", key=new_key("first", "RS256")),
    "no name of a key": lambda issuer: issuer.token("admin", header={"kid": None}),
    "critical extensions": lambda issuer: issuer.token("admin", header={"crit": ["exp"], "exp": 1}),
    "of another kind": lambda issuer: issuer.token("admin", header={"typ": "logout+jwt"}),
    "brings its key along": lambda issuer: issuer.token("admin", key=new_key("x"), header={"jwk": new_key("x").jwk}),
    "expired": lambda issuer: issuer.token("admin", lifetime_s=-1),
    "not yet": lambda issuer: issuer.token("admin", nbf=NOW() + 60),
    "from the future": lambda issuer: issuer.token("admin", iat=NOW() + 60),
    "another issuer": lambda issuer: issuer.token("admin", iss="https://login.example.test/"),
    "issuers": lambda issuer: issuer.token("admin", iss=["https://login.example.test"]),
    "another audience": lambda issuer: issuer.token("admin", aud="saga"),
    "no audience of ours": lambda issuer: issuer.token("admin", aud=["saga", "orchestrator"]),
    "an empty subject": lambda issuer: issuer.token(""),
    "a subject that is too long": lambda issuer: issuer.token("a" * 300),
    "a subject with a control character": lambda issuer: issuer.token("admin\n"),
    "a subject that is no text": lambda issuer: issuer.token(7),
    "claims that are a list": lambda issuer: sign(["admin"], issuer.keys[0]),
    "claims that are a text": lambda issuer: sign("admin", issuer.keys[0]),
    "an endless life": lambda issuer: issuer.token("admin", exp=1e400),
    "a time that is no number": lambda issuer: issuer.token("admin", exp="tomorrow"),
    "a huge time": lambda issuer: issuer.token("admin", exp=10**400),
    "no iss": lambda issuer: issuer.token("admin", without=("iss",)),
    "no aud": lambda issuer: issuer.token("admin", without=("aud",)),
    "no exp": lambda issuer: issuer.token("admin", without=("exp",)),
    "no nbf": lambda issuer: issuer.token("admin", without=("nbf",)),
    "no sub": lambda issuer: issuer.token("admin", without=("sub",)),
    "too long": lambda issuer: issuer.token("admin", padding="x" * 9000),
    "deep": lambda _: (
        f"{encode({'alg': 'ES256', 'kid': 'first'})}." + encode(json.loads("[" * 900 + "]" * 900)) + ".AAAA"
    ),
    "nothing": lambda _: "",
    "no token": lambda _: CANARY,
    "dots": lambda _: "..",
    "five parts": lambda issuer: issuer.token("admin") + ".a.b",
    "white space": lambda issuer: issuer.token("admin").replace(".", ". "),
}


async def test_a_bad_token_lets_nobody_in(guarded: Guarded) -> None:
    for wrong, forge in BAD.items():
        code, message = await refusal(guarded, bearer(forge(guarded.issuer)))
        assert code is grpc.StatusCode.UNAUTHENTICATED, wrong
        assert message.startswith("the token is refused: "), wrong
        assert len(message) < 200, wrong
    assert (await identity(guarded, bearer(guarded.issuer.token("admin")))).name == "login/admin", "a good one goes on"


async def test_what_is_no_single_bearer_token_is_refused(guarded: Guarded) -> None:
    token = guarded.issuer.token("admin")
    good = f"Bearer {token}"
    for values in (["Basic YWRtaW46YWRtaW4="], [token], [good, good], ["Bearer"], [f"{good} {token}"], [""]):
        code, _ = await refusal(guarded, tuple(("authorization", value) for value in values))
        assert code is grpc.StatusCode.UNAUTHENTICATED, values


async def test_the_scheme_is_spelled_as_one_likes(guarded: Guarded) -> None:
    token = guarded.issuer.token("admin")
    assert (await identity(guarded, (("authorization", f"bEARER {token}"),))).name == "login/admin"


async def test_nobody_and_strangers(guarded: Guarded) -> None:
    assert (await refusal(guarded, ()))[0] is grpc.StatusCode.UNAUTHENTICATED
    code, message = await refusal(guarded, bearer(guarded.issuer.token(CANARY)))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert CANARY not in message


async def test_a_token_counts_until_it_expires_also_one_that_was_seen(guarded: Guarded) -> None:
    token = guarded.issuer.token("admin", lifetime_s=3)
    end_s = int(jwt.decode(token, options={"verify_signature": False})["exp"])
    assert (await identity(guarded, bearer(token))).name == "login/admin"
    tokens = guarded.server._access.interceptor.callers._tokens  # type: ignore[union-attr]  # the fixture gives one
    proven = await tokens.verify(token, end_s - 0.001)
    assert proven.counts(end_s - 0.001)
    assert not proven.counts(end_s)


async def test_no_token_is_in_a_log_or_an_error(guarded: Guarded, capfd: pytest.CaptureFixture[str]) -> None:
    signed = guarded.issuer.token("admin", secret=CANARY, groups=CANARY)
    said = []
    for token in (
        guarded.issuer.token(CANARY, secret=CANARY),
        guarded.issuer.token("admin", aud=CANARY),
        guarded.issuer.token("admin", iss=CANARY),
        guarded.issuer.token("admin", key=new_key(CANARY)),
        guarded.issuer.token("admin", header={"typ": CANARY}),
        guarded.issuer.token("admin", lifetime_s=-5, secret=CANARY),
        signed[:-4] + "AAAA",
        CANARY,
    ):
        guarded.server._access.interceptor._denials._said_s = -1.0  # type: ignore[union-attr]  # every refusal is logged
        said.append(await refusal(guarded, bearer(token)))
    await identity(guarded, bearer(signed))
    out, err = capfd.readouterr()
    logged = out + err
    assert logged.count("call_refused") == len(said)
    for needle in (CANARY, signed, signed.split(".")[1], signed.split(".")[2]):
        assert needle not in logged
        assert all(needle not in message for _, message in said)
