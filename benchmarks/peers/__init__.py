"""What the orchestrator is compared with, each carrying out the same three calls in the way its authors recommend."""
