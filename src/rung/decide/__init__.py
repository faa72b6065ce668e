"""Log posteriors → answers: none of these, several labels at once, trees of labels, confidence, what to label next."""
