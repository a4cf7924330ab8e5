"""The configurations: they match the table, and any drift is found and corrected."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from towpath.errors import InvalidObject, UsageError
from towpath.pki import make_authority
from towpath_webhook.admission import hooks as registry
from towpath_webhook.admission import probe as probing
from towpath_webhook.admission.hooks import FailurePolicy
from towpath_webhook.certificates.rotation import DAY
from towpath_webhook.registration import configurations as registration
from towpath_webhook.registration.configurations import (
    Interpreter,
    Service,
    Settings,
    configurations,
    parse_service,
    parse_url,
    repaired,
    split_pem,
    trusted_authorities,
    with_bundle,
)

URL = "https://towpath.example:8443"
OLD, NEW = (make_authority(name, validity=DAY).certificate_pem for name in ("old", "new"))
MADE = configurations(Settings(URL), OLD)


def by_kind(settings: Settings | None = None) -> dict[str, list[dict[str, Any]]]:
    return {
        configuration["kind"]: configuration["webhooks"]
        for configuration in configurations(settings or Settings(URL), OLD)
    }


def test_every_hook_of_the_table_is_registered_as_it_says() -> None:
    made = by_kind()
    for kind, table in (
        (registration.MUTATING, registry.MUTATING),
        (registration.VALIDATING, registry.VALIDATING),
    ):
        assert [hook["name"] for hook in made[kind]] == [hook.name for hook in table]
        for hook, row in zip(made[kind], table, strict=True):
            assert hook["clientConfig"]["url"] == URL + row.path
            assert hook["failurePolicy"] == row.failure_policy
            assert [c["name"] for c in hook["matchConditions"]] == [c.name for c in row.conditions]
            assert hook["sideEffects"] == "None"
            assert hook["timeoutSeconds"] <= 3


def test_nothing_is_asked_for_everything() -> None:
    for configuration in MADE:
        for hook in configuration["webhooks"]:
            for rule in hook["rules"]:
                assert not any("*" in value for value in rule.values() if isinstance(value, list))


def test_karmada_asks_for_two_operations_and_not_for_long() -> None:
    (hook,) = by_kind()[registration.INTERPRETING]
    assert {o for rule in hook["rules"] for o in rule["operations"]} == {"AggregateStatus", "InterpretHealth"}
    assert hook["timeoutSeconds"] == 3
    for other in (Interpreter.LUA, Interpreter.NONE):
        assert registration.INTERPRETING not in by_kind(Settings(URL, other))


def test_a_failure_policy_given_counts_for_all() -> None:
    for policy in FailurePolicy:
        made = by_kind(Settings(URL, failure_policy=policy))
        hooks = made[registration.MUTATING] + made[registration.VALIDATING]
        assert {hook["failurePolicy"] for hook in hooks} == {policy.value}


def test_a_service_is_asked_at_the_same_paths() -> None:
    made = by_kind(Settings(Service("karmada-system", "towpath", 8443)))
    references = [hook["clientConfig"]["service"] for hooks in made.values() for hook in hooks]
    assert {reference["path"] for reference in references} == {
        hook["clientConfig"]["url"].removeprefix(URL) for hooks in by_kind().values() for hook in hooks
    }
    assert {(reference["namespace"], reference["name"], reference["port"]) for reference in references} == {
        ("karmada-system", "towpath", 8443)
    }


@pytest.mark.parametrize(
    "settings",
    [
        Settings(URL),
        Settings(URL, Interpreter.LUA, FailurePolicy.IGNORE, "1.2.3"),
        Settings(Service("a", "b", 443), Interpreter.NONE, FailurePolicy.FAIL),
    ],
)
def test_settings_survive_the_config_map(settings: Settings) -> None:
    data = settings.dump()
    assert all(isinstance(value, str) for value in data.values())
    assert Settings.parse(data) == settings


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "https://HOST:PORT"),
        ({"url": "http://a"}, "https://HOST:PORT"),
        ({"url": URL, "interpreter": "perl"}, "perl"),
        ({"url": URL, "failurePolicy": "Maybe"}, "Maybe"),
        ({"service": "a"}, "NAMESPACE/NAME:PORT"),
    ],
)
def test_damaged_settings_are_reported(data: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidObject, match=message):
        Settings.parse(data)


@pytest.mark.parametrize("text", ["https://a", "https://a:1", "https://10.0.0.1:8443/", "https://[::1]:8443"])
def test_a_url(text: str) -> None:
    assert parse_url(text) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:1",
        "http://a:1",
        "https://",
        "https://a/x",
        "https://a?b",
        "https://a#b",
        "https://u@a",
        "https://a:x",
        "https://a:70000",
        "https://a:0",
    ],
)
def test_no_url(text: str) -> None:
    with pytest.raises(UsageError, match="https://HOST:PORT"):
        parse_url(text)


def test_a_service() -> None:
    assert parse_service("ns/name") == Service("ns", "name", 443)
    assert parse_service("ns/name:8443") == Service("ns", "name", 8443)


@pytest.mark.parametrize(
    "text", ["", "name", "ns/", "/name", "ns/name:", "ns/name:x", "ns/name:0", "ns/n:70000", "n s/n"]
)
def test_no_service(text: str) -> None:
    with pytest.raises(UsageError, match="NAMESPACE/NAME:PORT"):
        parse_service(text)


def test_names_are_those_by_which_it_is_called() -> None:
    assert Settings("https://[::1]:8443").names == ("::1",)
    assert Settings("https://a.b:8443").names == ("a.b",)
    assert "towpath.karmada-system.svc" in Settings(Service("karmada-system", "towpath")).names


def as_stored(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the object as an apiserver stores it: more metadata, and a default unknown to the webhook."""
    stored = copy.deepcopy(configuration)
    stored["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 3}
    for hook in stored["webhooks"]:
        hook["addedByANewKubernetes"] = "Default"
    return stored


def edit(hooks: list[dict[str, Any]], how: str) -> None:
    hook = hooks[0]
    match how:
        case "a CA is missing":
            hook["clientConfig"]["caBundle"] = ""
        case "another address":
            hook["clientConfig"]["url"] = "https://else:1/x"
        case "another operation":
            hook["rules"][0]["operations"].append("DELETE")
        case "a rule more":
            hook["rules"].append({"operations": ["*"]})
        case "a hook more":
            hooks.append({**hook, "name": "x.towpath.io"})
        case "no hook":
            hooks.clear()
        case "never":
            hook["timeoutSeconds"] = 30


DRIFTS = [
    "a CA is missing",
    "another address",
    "another operation",
    "a rule more",
    "a hook more",
    "no hook",
    "never",
]


@pytest.mark.parametrize("configuration", MADE, ids=lambda configuration: configuration["kind"])
@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_put_right(configuration: dict[str, Any], drift: str) -> None:
    stored = as_stored(configuration)
    assert repaired(stored, configuration) is None, "as it should be"
    edit(stored["webhooks"], drift)
    right = repaired(stored, configuration)
    assert right is not None
    assert right["metadata"]["resourceVersion"] == "7", "no other client's write is lost"
    assert repaired(right, configuration) is None


@pytest.mark.parametrize("key", ["namespaceSelector", "objectSelector"])
def test_a_selector_that_was_added_is_seen(key: str) -> None:
    stored = as_stored(MADE[0])
    stored["webhooks"][0][key] = {"matchLabels": {"a": "b"}}
    assert repaired(stored, MADE[0]) is not None


def test_a_condition_that_was_taken_out_is_seen() -> None:
    stored = as_stored(MADE[0])
    del stored["webhooks"][0]["matchConditions"]
    assert repaired(stored, MADE[0]) is not None


def test_of_another_version_only_the_trust_is_kept_right() -> None:
    stored = as_stored(MADE[1])
    edit(stored["webhooks"], "another operation")
    assert with_bundle(stored, OLD) is None
    right = with_bundle(stored, OLD + NEW)
    assert right is not None
    assert trusted_authorities(right) == {*split_pem(OLD), *split_pem(NEW)}
    assert "DELETE" in right["webhooks"][0]["rules"][0]["operations"]


def test_the_stored_ca_is_that_of_every_hook() -> None:
    both = configurations(Settings(URL), OLD + NEW)[1]
    assert trusted_authorities(both) == {*split_pem(OLD), *split_pem(NEW)}
    both["webhooks"][0]["clientConfig"]["caBundle"] = MADE[1]["webhooks"][0]["clientConfig"]["caBundle"]
    assert trusted_authorities(both) == set(split_pem(OLD))
    both["webhooks"][1]["clientConfig"]["caBundle"] = "no base64"
    assert trusted_authorities(both) == set()
    assert trusted_authorities({"webhooks": []}) == set()


def test_only_labelled_objects_belong_to_towpath() -> None:
    assert registration.is_ours(MADE[0])
    assert not registration.is_ours({"metadata": {"name": "towpath"}})


def test_the_probe_matches_no_other_object() -> None:
    (hook,) = registration.probe(Settings(URL), OLD, "n1")["webhooks"]
    assert hook["objectSelector"] == {"matchLabels": registration.probed("n1")["metadata"]["labels"]}
    assert hook["failurePolicy"] == "Fail"
    assert hook["clientConfig"]["url"] == URL + probing.PATH
    assert probing.PATH not in {hook.path for hook in registry.HOOKS}, "no registration gives that answer"


def test_a_candidate_is_certified_and_changes_nothing_else() -> None:
    present = Settings(URL, version="1").dump()
    for candidate, name in (
        (Settings("https://new.example:1"), "new.example"),
        (Settings(Service("ns", "new", 1)), "new.ns.svc"),
    ):
        for before in ({}, present):
            tried = candidate.as_candidate(before)
            assert name in registration.candidate_names(tried)
            assert registration.stated(tried) == before
    assert registration.candidate_names(present) == ()
