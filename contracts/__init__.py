"""What both ends of a contract need: method handles, compiled field rules, metadata keys, error details."""
