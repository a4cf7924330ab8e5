"""The inventory: what reflectors read from the Karmada apiserver, combined into the input of a derivation.

``watched`` is the table of what is watched, ``inventory`` applies each change to the world, and ``snapshot``
takes everything that concerns one service for one pass of the controller.
"""
