"""Rollout: whether imports reach the members, and the touch of a template that helps a late one."""
