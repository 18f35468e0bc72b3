"""A whole machine in simulated time: the daemon as it is, everything around it made of one seed.

The daemon runs alone on a loop whose clock is ours; wires, disk, cloud, people and faults are callbacks on one heap of
the plant. Nothing waits, no thread runs, nothing is random but by the seed. `laws` watches what physically happened
and what the cloud was told, never what the daemon believes.
"""
