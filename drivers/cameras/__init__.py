"""Cameras that read QR codes. They deliver frames; what is in one is found by `drivers.vision`."""
