"""``python -m towpath``: the command line, also where no script is on the path."""

from towpath.cli import main

main()
