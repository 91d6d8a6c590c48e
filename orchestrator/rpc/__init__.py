"""The gRPC edge: the services that callers see, and the channels to the participants."""
