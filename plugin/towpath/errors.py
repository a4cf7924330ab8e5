"""Everything Towpath raises on purpose.

    TowpathError                 base: one line for the user, no traceback, exit code 1
    ├── UsageError               the command cannot mean anything; exit code 2
    ├── Unsuitable               Towpath cannot be installed in this apiserver by this user; exit code 2
    ├── MissingTool              a program that is needed is not on this machine
    ├── BuildFailed              the local control plane could not be built
    ├── BootFailed               a process of the local control plane did not come up
    ├── NoEnvironment            the folder given holds no environment in the state needed
    ├── NotAsTold                a member does not hold what the walk-through says it must
    ├── SocketUnusable           the socket or port to answer on is in use, or cannot be had
    ├── InvalidObject            an object's field has a value with no meaning: names object and field
    └── ApiError                 the apiserver, or the plugin, refused or could not be reached
        ├── Unreachable          no answer at all: wrong address, stopped, or certificate refused
        │   └── BadKubeconfig    no kubeconfig is there, or it cannot be read; exit code 2
        ├── NotFound             404
        ├── Conflict             409: somebody else wrote in between, or another manager owns a field
        └── Gone                 410: the place in the history from which to watch no longer exists

The message says what is wrong, where, and what to do. The CLI prints it behind ``error:``.
"""

from __future__ import annotations


class TowpathError(Exception):
    """Base of all errors raised on purpose. ``str(error)`` is fit for a user."""

    exit_code = 1


class UsageError(TowpathError):
    """The arguments contradict each other or name something that does not exist."""

    exit_code = 2


class Unsuitable(TowpathError):
    """The apiserver, or the user's rights in it, do not allow an installation. Nothing was changed."""

    exit_code = 2


class MissingTool(TowpathError):
    """A program Towpath runs is not installed: names it and says how to get it."""


class BuildFailed(TowpathError):
    """Building the local control plane failed: holds the last lines of the compiler."""


class BootFailed(TowpathError):
    """A process died or did not get ready: holds its name and the tail of its log."""


class NoEnvironment(TowpathError):
    """The folder holds no environment, or not one in the state that the command needs."""


class SocketUnusable(TowpathError):
    """Nothing can listen at the path or port given: somebody answers there, or it is impossible."""


class NotAsTold(TowpathError):
    """A member does not hold what the walk-through says it must: holds what it does hold."""


class InvalidObject(TowpathError):
    """An object cannot be read: names kind, namespace/name and the field (``spec.rules[0].path``)."""


class ApiError(TowpathError):
    """The apiserver answered with an error. ``status`` is the HTTP status, 0 when there was no answer.

    The plugin's answers over gRPC are told in the same terms.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Unreachable(ApiError):
    """No answer from the apiserver or the plugin: wrong address, stopped, or a certificate was refused."""


class BadKubeconfig(Unreachable):
    """There is no kubeconfig, or it cannot be read: a second attempt would fail as well."""

    exit_code = 2


class NotFound(ApiError):
    """404: the object, or its whole API, is not there."""


class Conflict(ApiError):
    """409: somebody wrote in between, or another field manager owns what we apply."""


class Gone(ApiError):
    """410: the place in the history from which to watch no longer exists; list anew."""
