"""A payment service and a saga that say everything that they should keep to themselves."""
