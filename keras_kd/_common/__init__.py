"""Helpers of every room: files, arrays, checked JSON and TOML, terminal, hardware, memory."""
