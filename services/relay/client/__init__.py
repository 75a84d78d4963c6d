"""A client's side of the relay: its socket, its protocol, what it sends and what it is told."""
