"""PEM files: refused at the start with what is wrong, and once in use replaced by nothing but good ones."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contracts.following import Followed, Follower
from contracts.pem import PemFile, TlsFileError
from contracts.tls import ClientTls, ServerTls, own_client
from tests.fixtures.certificates import Authority, replace
from tests.security.tls.ends import Files


def _lapse(files: Files) -> None:
    files.issue("server", "localhost", lifetime=timedelta(seconds=-1))


def _mismatch(files: Files) -> None:
    replace(files.folder / "server.key", files.authority.issue("localhost").key)


def _cut(name: str) -> Callable[[Files], None]:
    def cut(files: Files) -> None:
        path = files.folder / name
        replace(path, path.read_bytes()[:100])

    return cut


def _remove(name: str) -> Callable[[Files], None]:
    return lambda files: (files.folder / name).unlink()


def _empty_authorities(files: Files) -> None:
    replace(files.ca, b"")


def _old_authorities(files: Files) -> None:
    replace(files.ca, Authority(lifetime=timedelta(seconds=-1)).certificate)


FAULTS = [
    (_lapse, "TLS_CERT_FILE: the file .*server.pem holds a certificate that lapsed at 20..-"),
    (_mismatch, "TLS_KEY_FILE: the file .*server.key holds no key of the certificate in .*server.pem"),
    (_cut("server.pem"), "TLS_CERT_FILE: the file .*server.pem holds no certificate in PEM"),
    (_cut("server.key"), "TLS_KEY_FILE: the file .*server.key holds no private key in PEM"),
    (_remove("server.pem"), "TLS_CERT_FILE: the file .*server.pem cannot be read: No such file"),
    (_remove("server.key"), "TLS_KEY_FILE: the file .*server.key cannot be read: No such file"),
    (_remove("ca.pem"), "TLS_CLIENT_CA_FILE: the file .*ca.pem cannot be read: No such file"),
    (_empty_authorities, "TLS_CLIENT_CA_FILE: the file .*ca.pem holds no certificate in PEM"),
    (_old_authorities, "TLS_CLIENT_CA_FILE: the file .*ca.pem holds no certificate that is valid now"),
]


@pytest.mark.parametrize(("spoil", "told"), FAULTS)
def test_what_is_wrong_ends_the_start(spoil: Callable[[Files], None], told: str, files: Files) -> None:
    spoil(files)
    with pytest.raises(TlsFileError, match=told):
        files.server().follow()


def test_a_message_holds_nothing_of_the_file(files: Files) -> None:
    replace(files.folder / "server.key", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(TlsFileError) as refused:
        files.server().follow()
    assert "c2VjcmV0" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(("spoil", "told"), FAULTS)
def test_the_last_good_ones_stay_until_there_are_good_ones(
    spoil: Callable[[Files], None], told: str, files: Files
) -> None:
    followed = files.server().follow()
    good = followed.contents
    spoil(files)
    with capture_logs() as logs:
        assert not followed.look()
        assert not followed.look()
    assert [each["event"] for each in logs] == ["tls_files_unusable"], "said once"
    assert followed.contents == good
    files.trust(files.authority)
    files.issue("server", "localhost")
    with capture_logs() as logs:
        assert followed.look()
        assert not followed.look()
    assert [each["event"] for each in logs] == ["tls_files_good_again", "tls_files_renewed"]
    assert followed.contents != good


def test_a_pair_that_is_renewed_one_file_after_the_other_is_taken_once_it_is_whole(files: Files) -> None:
    followed = files.server().follow()
    renewed = files.authority.issue("localhost")
    replace(files.folder / "server.pem", renewed.certificate)
    assert not followed.look()
    replace(files.folder / "server.key", renewed.key)
    assert followed.look()
    assert followed.contents[:2] == (renewed.certificate, renewed.key)


def _age(files: Files) -> None:
    """As if all had been written an hour ago."""
    for path in files.folder.iterdir():
        os.utime(path, (path.stat().st_atime, time.time() - 3600))


def test_files_that_cannot_have_changed_are_not_read(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    read = PemFile.read

    def counted(file: PemFile) -> bytes:
        reads.append(file.setting)
        return read(file)

    monkeypatch.setattr(PemFile, "read", counted)
    followed = files.server().follow()
    followed.look()
    reads.clear()
    followed.look()
    assert len(reads) == 3, "written a moment ago, they may change within one tick of the clock"
    _age(files)
    followed.look()
    reads.clear()
    followed.look()
    assert reads == []


def test_a_file_that_was_old_when_it_was_renamed_into_place_is_seen(files: Files) -> None:
    _age(files)
    followed = files.server().follow()
    assert not followed.look()
    files.issue("server", "localhost")
    _age(files)
    assert followed.look()


def test_without_files_there_is_nothing_to_follow() -> None:
    assert not ClientTls().follow().look()


def test_a_certificate_that_lapses_in_use_is_told_once(files: Files) -> None:
    now = [datetime.now(UTC)]
    followed = Followed(files.server(), lambda: now[0])
    now[0] += timedelta(hours=2)
    with capture_logs() as logs:
        assert not followed.look()
        assert not followed.look()
    (only,) = logs
    assert "lapsed" in only["problem"]


def test_authorities_that_lapsed_may_stand_beside_new_ones(files: Files) -> None:
    files.trust(Authority(lifetime=timedelta(seconds=-1)), files.authority)
    files.server().follow()


def test_a_certificate_without_a_host_cannot_be_called_by_its_own_node(files: Files) -> None:
    files.issue("server", uris=["spiffe://example.test/node"])
    tls = files.server()
    with pytest.raises(TlsFileError, match="names no host"):
        own_client(tls, tls.follow())


async def test_whoever_fails_at_a_renewal_keeps_it_from_nobody(files: Files) -> None:
    told: list[str] = []

    async def fail() -> None:
        raise RuntimeError("cannot")

    async def hear() -> None:
        told.append("renewed")

    follower = Follower(3600)
    follower.follow(files.server().follow(), fail)
    follower.follow(files.server().follow(), hear)
    files.issue("server", "localhost")
    with capture_logs() as logs:
        await follower.run_once()
        await follower.run_once()
    assert told == ["renewed"]
    assert [each["event"] for each in logs].count("tls_renewal_failed") == 1


def test_settings_are_named_as_whoever_set_them_knows_them(tmp_path: Path) -> None:
    with pytest.raises(TlsFileError, match=r"^PARTICIPANT_TLS_CERT_FILE: "):
        ServerTls(tmp_path / "a.pem", tmp_path / "a.key", prefix="PARTICIPANT_TLS_").follow()
