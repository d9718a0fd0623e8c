"""The two papers' published figures, and their tables beside ours."""
