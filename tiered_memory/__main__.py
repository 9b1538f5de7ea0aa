"""`python -m tiered_memory` is the command line."""

from tiered_memory.cli import main

main()
