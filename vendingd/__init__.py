"""The process: composition root, mailbox, journal, effects, recovery, identity, cloud, local API, CLI."""
