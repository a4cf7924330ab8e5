"""All I/O with an apiserver: connections, client, discovery, reflectors, leader election."""
