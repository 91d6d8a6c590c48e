"""What both ends of a contract need: method handles, compiled field rules, metadata keys, error details."""

import os

# gRPC's core writes a line to standard error for each handshake that fails, which whoever reaches a port can have it do
# any number of times. It reads this as it is loaded, and programs of ours load this package before.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
