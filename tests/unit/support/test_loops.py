"""The loop of tests ends after the connections that were closed in it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from threading import Event, Thread

from tests.support.loops import TidyLoop
from towpath.local.pki import write_pki


def test_a_closed_connection_ends_before_its_loop(tmp_path: Path) -> None:
    """The other end answers only when the loop is about to close."""
    write_pki(tmp_path, ["127.0.0.1"])
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    asking = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    is_closing = Event()

    class Loop(TidyLoop):
        def close(self) -> None:
            is_closing.set()
            super().close()

    def answer(listening: socket.socket) -> None:
        with serving.wrap_socket(listening.accept()[0], server_side=True):
            is_closing.wait()

    async def closed(port: int) -> ssl.SSLSocket:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=asking)
        writer.close()
        found: ssl.SSLSocket = writer.get_extra_info("socket")
        return found

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Thread(target=answer, args=[listening])
        server.start()
        with asyncio.Runner(loop_factory=Loop) as runner:
            found = runner.run(closed(listening.getsockname()[1]))
        server.join()

    assert found.fileno() == -1
