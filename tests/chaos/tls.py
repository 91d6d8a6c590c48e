"""Certificates that lapse, and a server end of TLS in front of a participant."""

import asyncio
import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path


class Authority:
    """Signs certificates with openssl."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self.ca = directory / "ca.pem"
        self._key = directory / "ca.key"
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=chaos",
            "-days", "2", "-keyout", str(self._key), "-out", str(self.ca),
        )  # fmt: skip
        (directory / "index.txt").write_text("")
        (directory / "serial").write_text("1000")
        (directory / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={directory}/index.txt\nserial={directory}/serial\nnew_certs_dir={directory}\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
            "[e]\nsubjectAltName=DNS:participant.test\n"
        )

    def issue(self, lifetime_s: float) -> tuple[Path, Path, float]:
        """Certificate, key, and when it lapses in seconds of the Unix epoch."""
        key, request, out = (self._directory / name for name in ("server.key", "server.csr", "server.pem"))
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=participant.test", "-keyout", str(key), "-out", str(request),
        )  # fmt: skip
        now = datetime.now(UTC)
        end = now + timedelta(seconds=lifetime_s)
        self._openssl(
            "ca", "-batch", "-notext", "-config", str(self._directory / "ca.cnf"), "-extensions", "e",
            "-cert", str(self.ca), "-keyfile", str(self._key), "-in", str(request), "-out", str(out),
            "-startdate", f"{now - timedelta(minutes=1):%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}",
        )  # fmt: skip
        return out, key, end.replace(microsecond=0).timestamp()

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr[-300:]}")


class TlsFront:
    """Ends TLS in front of a participant, which has none of its own."""

    def __init__(self, target: str, authority: Authority) -> None:
        self.port = 0
        self.handshakes = 0
        self.failures = 0
        self.expires_at = 0.0
        self._target = target
        self._authority = authority
        self._context = self._new_context(3600)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def _new_context(self, lifetime_s: float) -> ssl.SSLContext:
        certificate, key, self.expires_at = self._authority.issue(lifetime_s)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(certificate, key)
        return context

    def renew(self, lifetime_s: float) -> None:
        """New connections get a new certificate."""
        self._context = self._new_context(lifetime_s)

    async def start(self) -> None:
        """Listens."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes everything."""
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Ends every connection, as the greatest age of a connection would."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await writer.start_tls(self._context, ssl_handshake_timeout=5)
            if not await self._is_trusted(reader, writer):
                self.failures += 1
        except (OSError, asyncio.IncompleteReadError):
            self.failures += 1
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _is_trusted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """In TLS 1.3 a client refuses a certificate only after the server has ended its handshake, and says nothing."""
        first = await reader.read(65536)
        if not first:
            return False
        self.handshakes += 1
        self._writers.add(writer)
        host, _, port = self._target.rpartition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        self._writers.add(up_writer)
        up_writer.write(first)

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while chunk := await source.read(65536):
                    target.write(chunk)
                    await target.drain()
            target.transport.abort()

        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        return True
