"""The options by which a command finds an apiserver, with the same names and meaning everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

Admin = Annotated[
    str,
    typer.Option(
        envvar="KUBECONFIG",
        metavar="FILE",
        help="Kubeconfig of an administrator of the Karmada apiserver.",
        show_default=False,
    ),
]
Karmada = Annotated[
    str | None,
    typer.Option(
        envvar="KUBECONFIG",
        metavar="FILE",
        help="Kubeconfig of the Karmada apiserver. Inside a pod the ServiceAccount is used without it.",
        show_default=False,
    ),
]
Context = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Context in the kubeconfig. The current context is used without it.",
        show_default=False,
    ),
]
