# One image for the nodes, the participants and the migrations; PostgreSQL runs elsewhere.
# Environment and checks are the same make targets as on any machine.

FROM python:3.13-slim-trixie AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY Makefile requirements.lock ./
COPY .ci/environment .ci/environment
RUN make env LOCK=requirements.lock

FROM python:3.13-slim-trixie
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY contracts contracts
COPY generated generated
COPY migrations migrations
COPY orchestrator orchestrator
COPY participants participants
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:65532
# What follows names a module: `orchestrator.cli.server serve`, `participants.inventory serve`, `migrations.runner upgrade …`.
ENTRYPOINT ["python", "-m"]
CMD ["orchestrator.cli.server", "serve"]
