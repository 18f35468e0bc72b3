"""The local API: HTTP over a Unix socket, for technicians' tools and for screens at terminals."""
