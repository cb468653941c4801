"""A new plugin package, from templates."""
