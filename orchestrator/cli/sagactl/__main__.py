"""``python -m orchestrator.cli.sagactl`` is the ``sagactl`` command."""

from orchestrator.cli.sagactl.main import main

if __name__ == "__main__":
    main()
