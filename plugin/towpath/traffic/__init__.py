"""The requests that clusters send to each other, as a Prometheus measures them.

``flow`` names the counters of the data path, ``query`` asks for their rates and reads the answer, and
``rates`` says when a rate is another one; all of these are pure. ``prometheus`` is the only I/O, and
``meter`` keeps the last answer while somebody watches.
"""
