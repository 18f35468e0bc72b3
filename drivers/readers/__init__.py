"""Readers on serial lines: codes, keys and tags. What they carry is secret and never logged."""
