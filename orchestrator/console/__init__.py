"""The operators' web page: a client of ``saga.v1.SagaOperatorService`` that happens to live in the node's process.

Nothing is possible here that is not in the API: it holds a channel and nothing else.
"""
