"""Initializers: one file each, from a concept to the text whose tokens' rows a run starts from."""
