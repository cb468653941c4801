"""Regression gates: a run held against a baseline; imports no torch and writes nothing."""

from tunebench.gate.comparison import INCOMPLETE, REGRESSION, Change, Verdict, compare
from tunebench.gate.limits import DEFAULT_LIMITS, Limit
from tunebench.gate.reports import junit, render, summary

__all__ = [
    "DEFAULT_LIMITS",
    "INCOMPLETE",
    "REGRESSION",
    "Change",
    "Limit",
    "Verdict",
    "compare",
    "junit",
    "render",
    "summary",
]
