"""A read-only image registry, from which the nodes pull the images of every registry.

It serves the part of the OCI distribution specification that a pull uses, from an image layout that may
change while it runs. containerd says in ``ns`` which registry it would have asked.

    python -m towpath.local.nodes.mirror FOLDER ADDRESS PORT
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from aiohttp import web

from towpath.local.nodes.images import read_index

_DIGEST = re.compile("sha256:[0-9a-f]{64}")


def application(folder: Path) -> web.Application:
    """Return the registry of an image layout."""

    def blob(digest: str) -> Path:
        path = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
        if not _DIGEST.fullmatch(digest) or not path.is_file():
            raise web.HTTPNotFound
        return path

    async def version(_request: web.Request) -> web.Response:
        return web.json_response({})

    async def manifest(request: web.Request) -> web.StreamResponse:
        reference, index = request.match_info["reference"], read_index(folder)
        if _DIGEST.fullmatch(reference):
            found = next((entry for entry in index.values() if entry["digest"] == reference), None)
        else:
            name = f"{request.query.get('ns', 'docker.io')}/{request.match_info['name']}:{reference}"
            found = index.get(name)
        if found is None:
            raise web.HTTPNotFound
        headers = {"Content-Type": found["mediaType"], "Docker-Content-Digest": found["digest"]}
        return web.FileResponse(blob(found["digest"]), headers=headers)

    async def content(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(blob(request.match_info["digest"]))

    app = web.Application()
    app.add_routes(
        [
            web.get("/v2/", version),
            web.get("/v2/{name:.+}/manifests/{reference}", manifest),
            web.get("/v2/{name:.+}/blobs/{digest}", content),
        ]
    )
    return app


def main() -> None:
    """Serve until told to stop."""
    folder, address, port = sys.argv[1:]
    web.run_app(application(Path(folder)), host=address, port=int(port), print=None, shutdown_timeout=0.1)


if __name__ == "__main__":
    main()
