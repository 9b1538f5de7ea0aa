"""The public face over HTTP: the same classes, their methods sent to a daemon."""
