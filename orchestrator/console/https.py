"""TLS towards browsers, whose certificate may be renewed while pages are served."""

import ssl
from typing import Final

from contracts.following import Follower
from contracts.tls import ServerTls


class Https:
    """``context`` is for every connection; those that begin after a renewal see the new certificate."""

    def __init__(self, tls: ServerTls, follower: Follower | None = None) -> None:
        """Raises ``TlsFileError`` if the files are not good."""
        self._tls: Final = tls
        followed = tls.follow()
        self.context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._load()
        if follower is not None:
            follower.follow(followed, self._renew)

    def _load(self) -> None:
        self.context.load_cert_chain(self._tls.cert_file, self._tls.key_file)

    async def _renew(self) -> None:
        self._load()
