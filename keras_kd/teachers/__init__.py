"""Who teaches: stored soft labels, the pass that makes them, views of images, people's votes."""
