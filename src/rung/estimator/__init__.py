"""`Classifier`, one scikit-learn estimator, and how it is kept on disk."""
