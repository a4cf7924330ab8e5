"""Members with nodes: each a whole cluster with a kubelet and pods, in Linux namespaces of its own."""
