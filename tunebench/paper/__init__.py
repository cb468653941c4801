"""The published figures (Xu & Wang 2026) beside ours: what to run, what to read off, how to show it."""
