"""Stock in warehouses: received, reserved, shipped."""
