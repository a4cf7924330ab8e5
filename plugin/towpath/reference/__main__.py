"""Print the page that is named on the command line."""

from __future__ import annotations

import sys

from towpath.reference import chart, commands, contract, definitions, metrics, reasons

PAGES = {
    "chart": chart.page,
    "cli": commands.page,
    "crds": definitions.page,
    "grpc": contract.page,
    "metrics": metrics.page,
    "reasons": reasons.page,
}

if __name__ == "__main__":
    sys.stdout.write(PAGES[sys.argv[1]]())
