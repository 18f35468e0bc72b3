"""Lock boards: codecs (bytes only, no I/O), the bus that they share, one module for each device."""
