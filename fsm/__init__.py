"""The domain: states, events, effects, decision tables and `step`. Pure: no I/O, no clock, no randomness."""
