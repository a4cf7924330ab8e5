"""What Karmada does with the user's own policies, worked out from their manifests alone, and what Towpath
makes of it.

* ``objects``, ``applying``: one manifest, and what there is once it is applied over another.
* ``selectors``: what policies select templates and members by.
* ``policies``: PropagationPolicies and OverridePolicies, as far as they matter here.
* ``selection``: which policy claims a template.
* ``placement``: which members a policy sends its templates to.
* ``overriding``: what a member's copy of a template looks like.
* ``reading``: manifests, sorted by what they are to a derivation.
* ``world``: from what was read to a world.
* ``outcome``: the plan, also as one document.
* ``difference``: what of it would change in a live Karmada.
* ``wording``: how texts for people are put.

Pure functions with the rules of Karmada 1.18, each named with its Go source. What only a running Karmada
can know is said in a note, a sentence for people, and never guessed.
"""
