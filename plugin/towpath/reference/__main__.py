"""Print the page that is named on the command line."""

from __future__ import annotations

import sys

from towpath.reference import metrics, reasons

PAGES = {"metrics": metrics.page, "reasons": reasons.page}

if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1]]())
