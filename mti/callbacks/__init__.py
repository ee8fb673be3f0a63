"""What happens beside the training step: evaluation, records, progress."""
