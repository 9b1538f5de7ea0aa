"""The daemon: the public face over HTTP, from one process that owns the data directory."""
