"""A simulated cloud, written from docs/cloud-api.yaml: reservations, passes, instructions, events."""
