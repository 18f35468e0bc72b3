"""`vendingctl`: the technician's tool. Starts fast: no framework, and nothing of the daemon unless it is needed."""
