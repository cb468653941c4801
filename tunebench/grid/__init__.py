"""What is run and how: the suite, its plan, one cell from names to record, the runner, the latency pass."""
