"""One training: batches, optimizer, state that is resumed, settings."""
