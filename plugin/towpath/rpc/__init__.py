"""The gRPC API of the plugin, as proto/towpath/proto/v1alpha1 defines it. Thin adapters that hold no rules.

``planner``, ``inventory``, ``reviewer`` and ``health`` are the servicers. ``convert`` builds their messages,
``service_lookup`` finds the service that a request names, ``watching`` wakes its watchers, ``stream`` keeps
bidirectional streams, and ``plan_process`` runs plans in a process of their own. ``interceptor`` and
``errors`` turn exceptions into statuses. ``server`` serves them on a unix socket (``socketfile``) and on a
port (``credentials``); ``client`` is the client of the command line."""
