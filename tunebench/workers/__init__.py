"""The processes and machines that cells run on, and what keeps one from harming the others."""
