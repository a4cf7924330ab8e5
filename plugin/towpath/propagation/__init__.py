"""What Karmada does with users' policies: which of them claims a template, and what a member gets of it.

* ``selectors``: what policies select templates and members by.
* ``policies``: PropagationPolicies and OverridePolicies, as far as they matter here.
* ``selection``: which policy claims a template.
* ``claims``: which policy has a template.
* ``placement``: which members a policy sends its templates to.
* ``overriding``: what a member's copy of a template looks like.

Pure functions with the rules of Karmada 1.18, each named with its Go source. The controller asks them about
what is live, ``plan`` about manifests as well.
"""
