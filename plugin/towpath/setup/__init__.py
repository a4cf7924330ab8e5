"""Installation into a Karmada apiserver and removal from it, for ``towpath install`` and ``uninstall``."""
