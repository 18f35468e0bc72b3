"""The other end of every serial wire, written from the vendors' descriptions of their protocols."""
