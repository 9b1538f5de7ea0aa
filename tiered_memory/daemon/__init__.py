"""The daemon: one process that owns a data directory and serves it."""
