"""How the best candidate is found on validation: budgets, exact trade-offs, the selector, the search."""
