"""Money: authorised, captured, refunded."""
