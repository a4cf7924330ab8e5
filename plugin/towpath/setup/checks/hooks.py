"""The webhook: registered with the right rules and CAs, and answering the apiserver."""

from __future__ import annotations

from collections.abc import Iterator

from towpath.setup.checks.evidence import Evidence, Level, Result
from towpath_webhook.registration.configurations import repaired

CHECK = "webhook"


def check(evidence: Evidence) -> Iterator[Result]:
    """Yield what prevents that the webhook is called; nothing before an installation."""
    if evidence.installed is None:
        return
    if evidence.damage:
        yield Result(CHECK, Level.FAIL, "settings", f"{evidence.damage} Run `towpath install`.")
        return
    if evidence.settings is None:
        text = (
            "The webhook is not registered, so mistakes are found later. Run `towpath install --webhook-url`."
        )
        yield Result(CHECK, Level.WARN, "registration", text)
        return
    for wanted, live in evidence.configurations:
        if live is None:
            yield Result(CHECK, Level.FAIL, wanted["kind"], "It is missing. Run `towpath install`.")
        elif repaired(dict(live), dict(wanted)) is not None:
            text = "Its rules or CAs are not those of this version. Run `towpath install`."
            yield Result(CHECK, Level.FAIL, wanted["kind"], text)
    if evidence.hook_answer:
        answer = evidence.hook_answer.rstrip(". ")
        text = f"The apiserver cannot call the webhook ({answer}). Start `towpath serve webhook`."
        yield Result(CHECK, Level.FAIL, "answer", text)
    else:
        yield Result(CHECK, Level.OK, "answer", "The webhook answers the apiserver.")
