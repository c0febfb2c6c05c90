"""Windows -> logits -> spans -> a comparison, for one question or many."""
