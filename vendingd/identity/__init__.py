"""Who stands at the machine: passes, PINs, policies in their site and wire forms, sealing at rest.

Owns the forms and the cryptography. Knows nothing of rentals' states: whether a pass is early, spent or
revoked is the domain's to say. Import the modules themselves; the heavy library behind them is loaded at
the first use.
"""
