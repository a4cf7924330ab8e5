"""Generated reference pages. ``make docs`` runs ``python -m towpath.reference PAGE > docs/PAGE.md``."""
