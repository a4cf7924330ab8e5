"""Follow policies: derived propagation of objects that no policy of a user selects."""
