"""What `mti.report` is made of: runs found, their statistics, figures, sheets of pictures, and a page."""
