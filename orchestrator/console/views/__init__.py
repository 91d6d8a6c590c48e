"""What pages show: messages of the API as plain values, every text of others already made harmless."""
