"""Networks: building, training and caching originals, hidden units, edits and folding, what they cost."""
