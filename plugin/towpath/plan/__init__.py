"""What Karmada does with the user's own policies, worked out from their manifests alone.

* ``selectors``: what policies select templates and members by.
* ``policies``: PropagationPolicies and OverridePolicies, as far as they matter here.
* ``selection``: which policy claims a template.
* ``placement``: which members a policy sends its templates to.
* ``overriding``: what a member's copy of a template looks like.

Pure functions with the rules of Karmada 1.18, each named with its Go source. What only a running Karmada
can know is said in a note, a sentence for people, and never guessed.
"""
