"""Learned tokens, from and to the forms that others read and write: a module for each form."""

from mti.embeddings.files import FORMS, read_embeddings, write_embeddings
from mti.embeddings.learned import SDXL, Learned

__all__ = ["FORMS", "SDXL", "Learned", "read_embeddings", "write_embeddings"]
