"""From a fleet whose control plane is ErieCanal or FSM to Karmada with Towpath, and back.

The other control plane writes ServiceImports straight into the members. Karmada takes an import over only
where the export allows it, and then replaces its content as a whole. So an import waits until what Karmada
would write has every endpoint that the member holds and whose cluster still exports (``plan``), and until the
other control plane is stopped, since two writers would undo each other's changes (``steps``).

``held``, ``plan`` and ``steps`` are pure. ``read`` reads Karmada, the members and the other control plane.
``forward`` and ``back`` set the annotations in the order that loses no endpoint.
"""
