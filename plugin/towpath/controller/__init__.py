"""The level-triggered controller: whatever changes, the services it touches are derived anew and written.

``inventory`` keeps the world in memory, ``queue`` says what is due, ``reconcile`` brings one service's
objects to what they should be, and ``run`` ties them together.
"""
