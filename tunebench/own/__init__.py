"""One trained network of the user's own: loading it, comparing tuners on it, picking one, writing the tuned network."""
