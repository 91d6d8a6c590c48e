"""What is wrong with how access is set up."""


class PolicyError(ValueError):
    """The policy file cannot be read, or says what it must not. The text names the file, and the line or the entry."""


class PermissionMissing(ValueError):  # noqa: N818  (named for what is not there)
    """A served method has no permission in the table."""
