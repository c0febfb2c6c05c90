"""`python -m qa_compare`: the commands, and `doctor`."""
