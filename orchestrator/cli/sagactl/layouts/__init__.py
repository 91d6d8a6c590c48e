"""How answers are laid out for people. What comes in was made harmless by :mod:`orchestrator.cli.sagactl.screen`."""
