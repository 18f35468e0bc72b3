"""`python -m hw_sim.demo`: simulator, cloud and daemon play a day at a small machine, step by step.

It knows the daemon as any program does: a process with a local API at a Unix socket. Nothing of it is imported.
"""
