"""The page docs/grpc.md: the calls of the gRPC contract, with the comments of proto/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_COMMENT = r"(?P<comment>(?:^ *//[^\n]*\n)+)"
_CALL = re.compile(
    _COMMENT + r"^ *rpc (?P<name>\w+)\((?P<asked>[\w ]+)\) returns \((?P<answer>[\w ]+)\);", re.MULTILINE
)
_SERVICE = re.compile(_COMMENT + r"^service (?P<name>\w+) \{\n(?P<body>(?:[^}\n]*\n)*)^\}", re.MULTILINE)


def page() -> str:
    """Return the page in Markdown. It is made in a checkout only, which has the contract's text."""
    folder = Path(__file__).resolve().parents[3] / "proto" / "towpath" / "proto" / "v1alpha1"
    return "\n".join(_lines(sorted(folder.glob("*.proto")))) + "\n"


def _lines(files: list[Path]) -> Iterator[str]:
    yield "# gRPC"
    yield ""
    yield "`make docs` generates this page from [the contract](../proto/towpath/proto/v1alpha1), which"
    yield "describes the messages. The plugin serves it on `--socket`, and with mutual TLS on"
    yield "`--grpc-listen`, with the standard services for health and reflection."
    for file in files:
        for service in _SERVICE.finditer(file.read_text()):
            yield from ("", f"## {service['name']}", "", *_prose(service["comment"]))
            for call in _CALL.finditer(service["body"]):
                yield from ("", f"### {call['name']}", "")
                yield from (f"`{call['asked']}` → `{call['answer']}`", "", *_prose(call["comment"]))


def _prose(comment: str) -> list[str]:
    return [line.strip().removeprefix("//").strip() for line in comment.splitlines()]
