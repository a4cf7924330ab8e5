"""What only members know of a service: calls between their pods, and what they hold.

End-to-end calls from pods of importing clusters to each exporter are those of ``towpath verify``.
``plan`` decides which calls are made where, ``pod`` makes the objects for it, ``probe`` is the program that
runs in the pod, and ``judge`` says what came of each call: all of it pure. ``run`` acts in the members.

For ``towpath explain``, ``look`` reads exporting members, and ``member_links`` are the links that follow.
"""
