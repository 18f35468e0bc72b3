"""The machine's end of the cloud contract (docs/cloud-api.yaml): instructions down, records up.

Knows HTTP, JSON and the contract; knows nothing of bays, rentals' states or the journal's tables.
"""
