"""Teachers: stored soft labels, the pass that computes them, augmented views, people's votes."""
