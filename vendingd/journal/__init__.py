"""The durable journal: every record, the current state and the outbox, in one SQLite file.

Owns the file, its format and its hash chain. Knows nothing of rentals, bays, people or the cloud's wire:
records and states are bytes to it. `api` is what others use; `store.Journal` is the real one,
`memory.MemoryStore` the one for simulated time.
"""
