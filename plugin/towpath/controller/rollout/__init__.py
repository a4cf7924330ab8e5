"""Rollout: whether members hold what was derived for them, and the touch that helps one that does not."""
