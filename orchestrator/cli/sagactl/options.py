"""The options that every command takes: where a node is, how it is trusted, how answers look."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from contracts.addresses import check_target
from contracts.serving import is_loopback
from orchestrator.cli.sagactl.exits import CommandError, ExitCode

DEFAULT_ADDRESS: Final = "127.0.0.1:7233"
DEFAULT_TIMEOUT_S: Final = 20.0
_PANEL: Final = "Connection and output"


@dataclass(frozen=True, slots=True)
class Options:
    """Options that every command takes, before its name or after; the later one counts. None: not given."""

    address: Annotated[
        str | None,
        typer.Option(
            help=f"A node, as host:port or unix:path; else SAGACTL_ADDRESS, or {DEFAULT_ADDRESS}.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    tls: Annotated[
        bool | None,
        typer.Option("--tls", help="Speak TLS, trusting the system's own authorities.", rich_help_panel=_PANEL),
    ] = None
    ca_file: Annotated[
        Path | None,
        typer.Option(help="PEM of whom to trust, speaking TLS; else SAGACTL_CA_FILE.", rich_help_panel=_PANEL),
    ] = None
    cert_file: Annotated[
        Path | None,
        typer.Option(help="PEM of your certificate, for mutual TLS; else SAGACTL_CERT_FILE.", rich_help_panel=_PANEL),
    ] = None
    key_file: Annotated[
        Path | None, typer.Option(help="PEM of its key; else SAGACTL_KEY_FILE.", rich_help_panel=_PANEL)
    ] = None
    server_name: Annotated[
        str | None,
        typer.Option(
            help="Name that the node's certificate carries, if not the host; else SAGACTL_SERVER_NAME.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with your bearer token, sent over TLS or to this machine alone; else SAGACTL_TOKEN_FILE.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    timeout_s: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            max=3600,
            help=f"Seconds to wait for an answer; else SAGACTL_TIMEOUT_S, or {DEFAULT_TIMEOUT_S:.0f}.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    output: Annotated[
        str | None,
        typer.Option(metavar="table|json", help="For people, or for scripts; else table.", rich_help_panel=_PANEL),
    ] = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the node is and how it is trusted, once the environment was asked for what no option gives."""

    address: str
    timeout_s: float
    tls: bool
    ca_file: Path | None
    cert_file: Path | None
    key_file: Path | None
    server_name: str | None
    token_file: Path | None


def place(options: Options) -> Place:
    """Raises :class:`CommandError` for what cannot be used."""
    address = options.address or os.environ.get("SAGACTL_ADDRESS") or DEFAULT_ADDRESS
    try:
        check_target(address)
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, f"--address: {error}") from None
    ca_file = options.ca_file or _path("SAGACTL_CA_FILE")
    cert_file = options.cert_file or _path("SAGACTL_CERT_FILE")
    key_file = options.key_file or _path("SAGACTL_KEY_FILE")
    if (cert_file is None) != (key_file is None):
        raise CommandError(ExitCode.USAGE, "--cert-file and --key-file go together: give both, or neither")
    tls = bool(options.tls or ca_file or cert_file)
    token_file = options.token_file or _path("SAGACTL_TOKEN_FILE")
    if token_file is not None and not tls and not is_loopback(address):
        told = f"--token-file: a token would go to {address} in the clear: speak TLS, with --tls or --ca-file"
        raise CommandError(ExitCode.USAGE, told)
    return Place(
        address=address,
        timeout_s=options.timeout_s or _seconds("SAGACTL_TIMEOUT_S") or DEFAULT_TIMEOUT_S,
        tls=tls,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        server_name=options.server_name or os.environ.get("SAGACTL_SERVER_NAME"),
        token_file=token_file,
    )


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _seconds(variable: str) -> float | None:
    value = os.environ.get(variable)
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600:
        raise CommandError(ExitCode.USAGE, f"{variable} is {value!r}: give seconds from 0.1 to 3600")
    return seconds
