"""The real webhook with a defect: what it is asked about objects ends in an unhandled exception.

``python -m tests.support.broken_webhook`` takes the arguments of ``towpath``.
"""

from __future__ import annotations

from typing import NoReturn

from towpath.cli import main
from towpath_webhook.http import dispatch


async def _fail(*_: object) -> NoReturn:
    raise RuntimeError("a defect")


if __name__ == "__main__":
    vars(dispatch)["_admit"] = _fail
    main()
