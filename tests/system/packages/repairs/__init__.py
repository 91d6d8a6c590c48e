"""A definition whose builders raise for as long as a test wants them to."""
