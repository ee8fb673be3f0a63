"""Concepts and the data sets they come from.

In every data set an `image` is the name of one of its concepts; or else a path to any picture, or to a
folder with several pictures of one concept. Making a data set reads no file and needs no network.
"""

from mti.datasets.base import DataSet
from mti.datasets.folder import Folder
from mti.datasets.listed import POCKET, Photographs, Pocket

__all__ = ["POCKET", "DataSet", "Folder", "Photographs", "Pocket"]
