"""What the project is made of: the pins of its lock files, looked up for known vulnerabilities, and listed."""
