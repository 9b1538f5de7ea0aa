"""The benchmark suite: measures the product on its own path."""
