"""The physical world: bolts, doors, assets and people. Pure: time is passed in, nothing here does I/O."""
