"""When a memory fades and what then becomes of it. Pure."""
