"""The level-triggered controller: it reconciles what a change touches, in passes.

A pass takes one snapshot of a service (``inventory.take``), decides on it (``service_export`` and what it
asks: each ``decide`` module is pure), and acts (``reconciler``, through ``writer``, the only module that
writes). ``workqueue`` holds what is due, and ``controller`` runs the passes.
"""
