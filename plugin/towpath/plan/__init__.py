"""What Karmada would make of manifests alone, by ``propagation``, and what Towpath makes of that.

* ``objects``, ``apply``: one manifest, and what there is once it is applied over another.
* ``read``: manifests, sorted by what they are to a derivation.
* ``world``: from what was read to a world.
* ``result``: the plan, also as one document.
* ``propose``: the same for manifests on top of a live Karmada, at once.
* ``diff``: what of it would change in a live Karmada.

Pure functions. What only a running Karmada can know is said in a note, a sentence for people, and never
guessed.
"""
