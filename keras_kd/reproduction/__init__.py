"""The published figures of two papers, and their tables beside ours."""
