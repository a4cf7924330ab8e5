"""The level-triggered controller: whatever changes, the services it touches are derived anew and written.

``workqueue`` holds the keys that are due, ``service_export`` and ``traffic_policy`` reconcile one of them,
``writer`` is the only module that writes, and ``controller`` ties them together.
"""
