"""The page: the cluster set as a picture in a browser, read-only, from the plugin's gRPC stream alone.

``fleet`` folds the stream into the present state, ``picture`` turns that into rows, ``history`` into what has
happened, and ``frames`` into what a viewer is sent; all of these are pure. ``feed`` keeps the one stream for
all viewers, ``server`` answers browsers, and ``access`` decides whom.
"""
