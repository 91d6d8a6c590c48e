"""Run by Alembic for each command: on the connection that ``runner`` hands over, or offline as SQL."""

from alembic import context

from migrations.runner import BOOKKEEPING_TABLES, SESSION_SETTINGS

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, transactional_ddl=True)
    with context.begin_transaction():
        for setting in SESSION_SETTINGS:
            context.execute(setting)
        context.run_migrations()
else:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=context.config.attributes.get("metadata"),
        include_name=lambda name, kind, _parents: kind != "table" or name not in BOOKKEEPING_TABLES,
        # Each revision commits by itself, so that one may step out of its transaction to build an index concurrently.
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
