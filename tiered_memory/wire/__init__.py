"""What goes over the wire: one table of operations that the daemon serves, the client calls and OpenAPI describes."""
