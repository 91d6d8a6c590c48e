"""What the checker reads: triggers, put into the databases under test, that write every change down as it happens."""

from typing import Final

_BARRIER: Final = """
CREATE TABLE audit_barrier (
    number bigint GENERATED ALWAYS AS IDENTITY, saga_id uuid, step text, state smallint, epoch bigint,
    txid bigint DEFAULT txid_current(), at timestamptz DEFAULT clock_timestamp()
);
CREATE FUNCTION audit_barrier() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO audit_barrier (saga_id, step, state, epoch) VALUES (NEW.saga_id, NEW.step, NEW.state, NEW.epoch);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_barrier AFTER INSERT OR UPDATE ON saga_barrier FOR EACH ROW EXECUTE FUNCTION audit_barrier();
"""

_STORE: Final = """
CREATE TABLE audit_saga (
    number bigint GENERATED ALWAYS AS IDENTITY, saga_id uuid, state_before smallint, state smallint, owner uuid,
    epoch bigint, last_seq integer, claimed boolean, writer_fenced boolean, at timestamptz DEFAULT clock_timestamp()
);
CREATE TABLE audit_event (
    saga_id uuid, seq integer, at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (saga_id, seq)
);
CREATE FUNCTION audit_saga() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    claimed boolean := TG_OP = 'UPDATE' AND NEW.epoch > OLD.epoch;
    writer uuid := CASE WHEN TG_OP = 'INSERT' OR claimed THEN NEW.owner ELSE OLD.owner END;
BEGIN
    INSERT INTO audit_saga (saga_id, state_before, state, owner, epoch, last_seq, claimed, writer_fenced)
    VALUES (
        NEW.saga_id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END, NEW.state, NEW.owner, NEW.epoch, NEW.last_seq,
        claimed,
        -- Setting a dead node's saga free appends nothing: only what takes a seq is its writer's.
        (TG_OP = 'INSERT' OR NEW.last_seq > OLD.last_seq)
            AND EXISTS (SELECT FROM node_fence WHERE node_id = writer AND fenced_at IS NOT NULL)
    );
    RETURN NULL;
END $$;
CREATE TRIGGER audit_saga AFTER INSERT OR UPDATE ON saga FOR EACH ROW EXECUTE FUNCTION audit_saga();
CREATE FUNCTION audit_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO audit_event (saga_id, seq) VALUES (NEW.saga_id, NEW.seq);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_event AFTER INSERT ON saga_event FOR EACH ROW EXECUTE FUNCTION audit_event();
"""

AUDITS: Final = {"orchestrator": _STORE, "inventory": _BARRIER, "payment": _BARRIER, "shipping": _BARRIER}
"""By database."""
