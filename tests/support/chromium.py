"""A real Chromium: Debian's package, installed where it is missing, and driven over its DevTools protocol.

python -m tests.support.chromium    install it, as `make test` does
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.waiting import until
from towpath.local.nodes import packages

PROGRAMS = {"chromium": "chromium"}
_PATIENCE = 120.0
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root, which the sandbox refuses
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
    "about:blank",
)


class Tab:
    """A tab: ``evaluate`` runs an expression in it, and ``errors`` holds what went wrong there."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []

    async def read(self) -> None:
        """Take what the browser says, until it is gone."""
        async for message in self._socket:
            event = json.loads(message.data)
            if "id" in event:
                waiting = self._waiting.pop(event["id"])
                if not waiting.done():
                    waiting.set_result(event)
            elif event["method"] == "Runtime.exceptionThrown":
                self.errors.append(event["params"]["exceptionDetails"]["exception"]["description"])
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                self.errors.append(event["params"]["entry"]["text"])
            elif event["method"] == "Page.javascriptDialogOpening":
                self.errors.append(f"a dialog: {event['params']['message']}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(_PATIENCE):
            reply = await answer
        assert "error" not in reply, reply["error"]
        result: dict[str, Any] = reply["result"]
        return result

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def go(self, url: str) -> None:
        """Open an address."""
        await self.call("Page.navigate", url=url)

    async def press(self, key: str, text: str = "") -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, text=text if kind == "keyDown" else ""
            )

    async def type(self, text: str) -> None:
        """Type a text."""
        await self.call("Input.insertText", text=text)

    async def size(self, width: int, height: int) -> None:
        """Give the window a size."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def prefer(self, scheme: str) -> None:
        """Let the system be ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def picture(self) -> bytes:
        """Return what is seen, as PNG."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def sees(self, expression: str, wanted: Any = True) -> None:
        """Wait until an expression has a value."""

        async def look() -> Any:
            try:
                return await self.evaluate(expression)
            except AssertionError:
                return None  # what is asked for is not there yet

        try:
            await until(look, lambda value: value == wanted, patience=_PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{expression}: {error}; {self.errors}") from None


class Browser:
    """A running Chromium."""

    def __init__(self, session: aiohttp.ClientSession, address: str, pid: int) -> None:
        self._session, self._address, self.pid = session, address, pid

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """Give a new tab."""
        async with self._session.put(f"http://{self._address}/json/new") as answer:
            target: Mapping[str, str] = await answer.json(content_type=None)
        async with self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            reading = asyncio.create_task(tab.read())
            try:
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await tab.call(f"{domain}.enable")
                yield tab
            finally:
                reading.cancel()
        async with self._session.get(f"http://{self._address}/json/close/{target['id']}"):
            pass


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run a Chromium with an empty profile. Fails where it cannot be had."""
    await asyncio.to_thread(install)
    folder = Path(tempfile.mkdtemp(prefix="towpath-chromium-"))
    process = await asyncio.create_subprocess_exec(
        str(packages.find("chromium")),
        f"--user-data-dir={folder}",
        *_FLAGS,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port_file = folder / "DevToolsActivePort"

        async def port() -> str:
            assert process.returncode is None, f"chromium has ended with {process.returncode}"
            return port_file.read_text().partition("\n")[0] if port_file.exists() else ""

        number = await until(port, bool, patience=_PATIENCE)
        async with aiohttp.ClientSession() as session:
            yield Browser(session, f"127.0.0.1:{number}", process.pid)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def install() -> None:
    """Install Chromium unless it is there. Raises MissingTool with the command where that is impossible."""
    packages.install(lambda text: print(text, file=sys.stderr), PROGRAMS)


if __name__ == "__main__":
    install()
