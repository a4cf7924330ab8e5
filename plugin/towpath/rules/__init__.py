"""The rules of derivation, one a module: pure functions over the model.

``gateway`` reads where a cluster can be reached, ``eligibility`` tells why a cluster does not export,
``scope`` who may import, and ``ports`` puts a view together. ``reasons`` is the registry of all answers.
"""
