"""A disposable projection for statistics."""
