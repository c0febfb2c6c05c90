"""What training and evaluation leave on disk, and what is read from it: tables, curves, cards."""
