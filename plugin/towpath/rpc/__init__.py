"""The plugin's gRPC face: what ``proto/towpath/proto/v1alpha1`` promises.

``convert`` turns derivations into messages, ``servicer`` answers the calls and ``health`` whether it can,
``server`` serves both on a unix socket, ``socketfile`` takes care of that file, and ``client`` asks. No
knowledge of its own.
"""
