"""The gRPC contract: code that ``make proto`` makes from the ``proto/`` folder."""
