"""What is measured of generated pictures: one file a metric, and the networks they look through in `features`."""
