"""The launcher that hands a whole multirun to one process and one frozen model."""
