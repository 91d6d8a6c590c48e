"""TLS of HTTP, from files that may be renewed while it is served."""

import ssl
from typing import Final

from contracts.following import Follower
from contracts.tls import ServerTls


class Https:
    """``context`` is for every connection; those that begin after a renewal see the new files, all of them."""

    def __init__(self, tls: ServerTls, follower: Follower | None = None) -> None:
        """With ``client_ca_file`` clients must present a certificate. Raises ``TlsFileError`` if a file is not good."""
        self._tls: Final = tls
        followed = tls.follow()
        self._newest = self._made()
        self.context: Final = self._made()
        # A context forgets no authority that it has once trusted, so each renewal takes another one.
        self.context.sni_callback = self._take_newest
        if follower is not None:
            follower.follow(followed, self._renew)

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._tls.cert_file, self._tls.key_file)
        if self._tls.client_ca_file is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self._tls.client_ca_file)
        return context

    def _take_newest(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._newest

    async def _renew(self) -> None:
        self._newest = self._made()
