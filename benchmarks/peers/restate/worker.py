"""The saga as a Restate handler, served by hypercorn over HTTP/2. ``python -m ….worker ADDRESSES``."""

import asyncio
import json
import signal
import socket
import sys
from typing import Final

import restate
import uvloop
from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from orders.v1.orders_pb2 import PlaceOrderRequest
from restate.exceptions import TerminalError
from restate.serde import BytesSerde

from benchmarks.calls import STEPS, Calls, RefusedError, key_metadata
from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION

BYTES: Final = BytesSerde()
OCTETS: Final = "application/octet-stream"
COMPLETED: Final = b"completed"
REFUSED: Final = b"refused"
BACKLOG: Final = 1024

saga: Final = restate.Service("PlaceOrder")
_calls: list[Calls] = []


@saga.handler(accept=OCTETS, content_type=OCTETS, input_serde=BYTES, output_serde=BYTES)
async def run(context: restate.Context, payload: bytes) -> bytes:
    """Three journaled calls; a refusal is a terminal error, after which what was done is undone in reverse order."""
    order = PlaceOrderRequest.FromString(payload)
    done: list[tuple[str, bytes]] = []
    try:
        for step in STEPS:
            response = await context.run_typed(step, _act, restate.RunOptions(serde=BYTES), step, order)
            done.append((step, response))
    except TerminalError:
        for step, response in reversed(done):
            await context.run_typed(f"undo-{step}", _undo, restate.RunOptions(serde=BYTES), step, order, response)
        return REFUSED
    return COMPLETED


async def _act(step: str, order: PlaceOrderRequest) -> bytes:
    try:
        return await _calls[0].act(step, order, key_metadata(order.order_id, step, PHASE_ACTION))
    except RefusedError as error:
        raise TerminalError(str(error)) from None


async def _undo(step: str, order: PlaceOrderRequest, response: bytes) -> bytes:
    await _calls[0].undo(step, order, response, key_metadata(order.order_id, step, PHASE_COMPENSATION))
    return b""


async def serve(addresses: dict[str, str]) -> None:
    """Serves until SIGTERM. Prints one line of JSON once it listens: ``{"port": …}``."""
    _calls.append(Calls(addresses))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(BACKLOG)
    config = Config()
    config.bind = [f"fd://{listening.fileno()}"]
    config.backlog = BACKLOG
    config.loglevel = "WARNING"
    config.h2_max_concurrent_streams = BACKLOG
    sys.stdout.write(json.dumps({"port": listening.getsockname()[1]}) + "\n")
    sys.stdout.flush()
    await hypercorn_serve(restate.app(services=[saga]), config, shutdown_trigger=stop.wait)


if __name__ == "__main__":
    uvloop.run(serve(json.loads(sys.argv[1])))
