"""The rules of derivation, one a module: pure functions over the model.

``gateway`` reads where a cluster can be reached, ``eligibility`` tells why a cluster does not export,
``contention`` what two services cannot both have, ``reachability`` what becomes of a lost cluster's
endpoints, ``scope`` who may import, ``ports`` puts a view together, ``conflict`` tells in what exporters
disagree and ``conditions`` says it all on the export. ``export_warnings`` and ``traffic`` warn of what FSM
makes of it. ``reasons`` is the registry of all answers.
"""
