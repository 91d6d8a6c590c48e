"""All of it together: the policy as it stands in its file, the keys of its issuers, and the interceptor."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from orchestrator.rpc.access.callers import Callers
from orchestrator.rpc.access.errors import PolicyError
from orchestrator.rpc.access.interceptor import AccessInterceptor
from orchestrator.rpc.access.keys import IssuerKeys
from orchestrator.rpc.access.policy import Issuer, Policy
from orchestrator.rpc.access.policy_file import read_policy
from orchestrator.rpc.access.settings import AccessSettings
from orchestrator.rpc.access.sources import FileSource, Source, SourceError, UrlSource
from orchestrator.rpc.access.tokens import Tokens

_log = structlog.get_logger(__name__)


class Access:
    """Runs from :meth:`start` to :meth:`stop`; each may be called twice."""

    def __init__(self, settings: AccessSettings, starts: Mapping[str, str]) -> None:
        """``starts``: front doors by path, with the name of the definition that each starts.

        Raises :class:`PolicyError`: a node that has no policy that it can read serves nobody.
        """
        self._settings: Final = settings
        self._seen = _signature(settings.policy_file)
        self._refused = ""
        """Why the newest policy does not count, as far as it does not."""
        self._keys: dict[Issuer, IssuerKeys] = {}
        self.interceptor: Final = AccessInterceptor(self._callers(read_policy(settings.policy_file)), starts)
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to read keys, and to look after policy, keys and open streams."""
        if self._watching is None:
            self.look()
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Ends all that :meth:`start` began."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        for keys in self._keys.values():
            await keys.stop()

    def look(self) -> None:
        """Once: takes a changed policy over, has keys read that are due, ends streams whose callers may not go on."""
        signature = _signature(self._settings.policy_file)
        # One that was refused is tried again: what it lacked may lie beside it, and it may drop somebody.
        if signature != self._seen or self._refused:
            self._seen = signature
            try:
                self.interceptor.callers = self._callers(read_policy(self._settings.policy_file))
                self._refused = ""
                _log.info("policy_read", file=str(self._settings.policy_file))
            except PolicyError as error:
                if str(error) != self._refused:
                    self._refused = str(error)
                    what = "the policy that was read before stays in force"
                    _log.error("policy_refused", why=self._refused, what=what)
        for keys in self._keys.values():
            keys.read_if_due()
        now = time.time()
        for stream in tuple(self.interceptor.streams):
            stream.judge(self.interceptor.callers, now)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.reload_interval_s)
            try:
                self.look()
            except Exception as error:  # a defect must not end the looking: streams would outlive their callers
                _log.error("policy_look_failed", error=type(error).__qualname__)

    def _callers(self, policy: Policy) -> Callers:
        """Issuers that stay as they were keep their keys. Raises :class:`PolicyError` and changes nothing then."""
        keys = {issuer: self._keys.get(issuer) or self._new_keys(issuer) for issuer in policy.issuers.values()}
        by_name = {issuer.name: each for issuer, each in keys.items()}
        tokens = Tokens(
            policy, by_name, leeway_s=self._settings.token_leeway_s, max_cached=self._settings.max_cached_tokens
        )
        self._keys = keys  # what a dropped one still reads ends by itself, and nobody looks
        return Callers(policy, tokens)

    def _new_keys(self, issuer: Issuer) -> IssuerKeys:
        settings = self._settings
        return IssuerKeys(
            issuer.name, self._source(issuer), timeout_s=settings.jwks_timeout_s, max_age_s=settings.jwks_max_age_s
        )

    def _source(self, issuer: Issuer) -> Source:
        settings = self._settings
        if isinstance(issuer.keys, Path):
            return FileSource(issuer.keys, settings.reload_interval_s)
        try:
            return UrlSource(
                issuer.keys,
                issuer.ca_file,
                settings.jwks_refresh_interval_s,
                settings.jwks_refetch_interval_s,
                settings.jwks_timeout_s,
            )
        except SourceError as error:
            raise PolicyError(f"{settings.policy_file}: [[issuer]] {issuer.name}: {error}") from error


def _signature(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
