"""A client in Go that asks webhooks as an apiserver does, built with the Go that the local Karmada is."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support import golang

_SOURCES = Path(__file__).parent


def build(folder: Path) -> Path:
    """Build the program into a folder: a second, as the standard library was compiled for Karmada."""
    return golang.build(_SOURCES / "main.go", folder)


@dataclass
class CallReport:
    """The report of the program at its end; the number of certificates is also known before."""

    calls: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    unready: int = 0
    handshakes: int = 0
    serials: int = 0
    issuers: int = 0
    p99_ms: float = 0.0

    async def certificates(self) -> int:
        """Return the number of certificates so far."""
        return self.serials


@dataclass(frozen=True)
class Caller:
    """The program, with the question that it asks."""

    program: Path
    body: Path
    path: str

    @asynccontextmanager
    async def calling(self, targets: list[str], *trust: str, rate: int = 500) -> AsyncIterator[CallReport]:
        """Call during the block; the result is complete afterwards."""
        report = CallReport()
        process = await asyncio.create_subprocess_exec(
            self.program,
            *(f"-rate={rate}", f"-path={self.path}", f"-targets={','.join(targets)}", *trust, str(self.body)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert await process.stdout.readline() == b"calling\n"
            reading = asyncio.create_task(_read(process.stdout, report))
            yield report
            process.stdin.close()
            await reading
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _read(lines: asyncio.StreamReader, report: CallReport) -> None:
    async for line in lines:
        if line.startswith(b"shown"):
            report.serials += 1
        else:
            end = json.loads(line)
            vars(report).update({**end, "errors": end["errors"] or []})


def trust_configuration(kubeconfig: Path, path: str, folder: Path) -> tuple[str, str]:
    """Return the arguments for the CA and identity of a configuration; identity files go into a folder."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    for name, data in (
        ("ca.crt", cluster["certificate-authority-data"]),
        ("tls.crt", user["client-certificate-data"]),
        ("tls.key", user["client-key-data"]),
    ):
        (folder / name).write_bytes(base64.b64decode(data))
    return f"-apiserver={cluster['server']}{path}", f"-identity={folder}"
