"""The other end of every wire: devices, people, a cloud. Imports nothing of the daemon's."""
