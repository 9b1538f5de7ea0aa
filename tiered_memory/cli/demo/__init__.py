"""A memory's whole life, played on the real engines: acted into facts, and told from them."""
