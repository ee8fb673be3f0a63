"""Concepts: what is pointed at in a picture, what is cut out of it, and what tells one concept from another."""
