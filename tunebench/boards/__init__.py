"""From records to what a person reads: rows, intervals and tests, advice, tables. No torch here."""
