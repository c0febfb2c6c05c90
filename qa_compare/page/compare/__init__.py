"""The Compare tab: what opens a question, the cards, why an answer was given, what-if, links and history."""
