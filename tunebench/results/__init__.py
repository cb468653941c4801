"""Cells as files: names, keys, checked records, per-image predictions and the metrics that follow from them."""
