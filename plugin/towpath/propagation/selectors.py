"""The selectors that Karmada's policies are made of: of templates, and of members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from towpath.model.base import Model


class Part(Model):
    """A part of a policy, for which null is the same as absent."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value


class Requirement(Part):
    """One condition on labels."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class LabelSelector(Part):
    """All of its conditions must hold; without any it selects everything."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()


class FieldRequirement(Requirement):
    """One condition on what a Cluster's spec says of where it is."""

    key: Literal["provider", "region", "zone"]
    operator: Literal["In", "NotIn"]


class FieldSelector(Part):
    """All of its conditions must hold."""

    match_expressions: tuple[FieldRequirement, ...] = ()


class ResourceSelector(Part):
    """Templates by name or, without one, by labels."""

    api_version: str
    kind: str
    namespace: str = ""
    name: str = ""
    label_selector: LabelSelector | None = None


class ClusterAffinity(Part):
    """Members by name, labels and fields. All that is set must hold; an empty one selects every member."""

    cluster_names: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    label_selector: LabelSelector | None = None
    field_selector: FieldSelector | None = None


class AffinityTerm(ClusterAffinity):
    """One of several groups of members. Its overflow is for workloads only, and not read."""

    affinity_name: str = ""
