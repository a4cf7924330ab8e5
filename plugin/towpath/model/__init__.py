"""Frozen types for what Towpath reads and writes. No I/O, and no behaviour beyond parsing.

``keys`` names things, ``cluster`` is the inventory, ``service`` and ``export`` are what members offer,
``traffic`` is how clients use it, ``view`` is what a member imports, ``condition`` what a status says, and
``world`` is all that a derivation starts from.
"""
