"""Follow policies: derived propagation of objects that no policy of the user selects."""
