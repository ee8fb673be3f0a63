"""The server: on this machine alone unless told otherwise, and with nothing asked of any other."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
import sys
from argparse import Namespace
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before it is imported

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mti.errors import UserError
from mti.page.actions import Actions
from mti.page.commands import Commands
from mti.page.layout import CSS, layout, theme

log = logging.getLogger("mti")

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob: ws: wss:; "
    "frame-ancestors 'none'; form-action 'self'"
)
LARGEST = "100mb"  # of an upload
GRACE = 3  # seconds that open connections get at the end


def serve(commands: Commands, given: Namespace) -> None:
    """Serve the page until the process is told to stop; then its jobs are stopped too, resumable.

    Raises:
        UserError: the address is not to be had.
    """
    with _listening(given.host, given.port) as listening:
        actions = Actions(commands)
        settings: dict[str, Any] = {"log_level": "warning", "timeout_graceful_shutdown": GRACE}
        server = uvicorn.Server(uvicorn.Config(application(actions, given.host), **settings))
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        host = "127.0.0.1" if given.host == "0.0.0.0" else given.host
        host = f"[{host}]" if ":" in host else host
        print(f"mti: the page is at http://{host}:{listening.getsockname()[1]}; Ctrl-C ends it", flush=True)
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            actions.jobs.close()


class Guarded:
    """ASGI middleware that has browsers load nothing from elsewhere, and show the page in no other."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self.app(scope, receive, guarded)


def application(actions: Actions, host: str) -> FastAPI:
    """The page as an application, for requests that mean this host alone if it is the machine's own."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    app.add_middleware(Guarded)
    if _is_own(host):  # no other site's name may lead here
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]", host])
    blocks = layout(actions)
    return gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        server_name=host,
        footer_links=[],
        max_file_size=LARGEST,
        ssr_mode=False,
        allowed_paths=[str(actions.root.absolute())],
        theme=theme(),
        css=CSS,
    )


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    """A socket at an address. `UserError` if it is not to be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"--host {host}: there is no such address ({error.strerror})") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(f"{host}:{port} cannot be served ({error.strerror}): give another --port, 0 is any") from None
    return listening
