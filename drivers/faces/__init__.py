"""Devices that compare faces."""
