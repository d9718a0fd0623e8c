"""One training: batches, optimizer, resumable state, settings."""
