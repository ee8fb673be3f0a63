"""How the rows of runs are stepped: one optimizer a file, all with the interface of `mti.rows.RowOptimizer`."""
