"""The OA budgets that every trade-off curve is read at."""

BUDGETS = (0.0, 0.1, 0.2, 0.5, 1.0)
"""In percentage points of OA on the selection split."""
