"""Devices on single GPIO lines: locks, powered gates' operators, contacts and buttons."""
