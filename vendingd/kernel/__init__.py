"""The order of events: mailbox, group commit, timers, effects. Knows no device and no wire."""
