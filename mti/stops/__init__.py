"""When a run has learned enough: rules that read its curve, one file each."""
