"""The tables of all ledgers of a database, in a schema of their own, and how they are made.

They are those of ``batcher.flow.ledger.store``, with the number of the ledger that a row belongs to, and one more:
``ledger`` has a row for each run and shard, with what keeps two writers apart. ``epoch`` counts the writers: who begins
takes the next one, and a commit under an earlier one is refused by ``fence``. ``commits`` and ``mark`` tell which
commit was the last, by number and content, so that a writer who has not heard what became of its own can look. Until
``expires`` no other writer may begin, unless the present one is known to be gone: its sessions hold the advisory lock
``presence`` in the server that was started at ``server``. A run that is divided into another number of shards has new
ledgers, of the next ``division``; those of the earlier ones are ``closed``: no run begins to write them any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from batcher.errors import LedgerRefused, OutputFailed

if TYPE_CHECKING:
    from batcher.flow.ledger.postgresql.session import Session

SCHEMA = "veetro_batch"
FORMAT = 1
"""Version of the schema, in the table ``format``."""
FENCED = "VB001"
"""The SQLSTATE of a commit that ``fence`` refuses."""

_COUNT = """
    INSERT INTO total SELECT ledger, outcome, count(*) FROM new_rows GROUP BY ledger, outcome
    ON CONFLICT (ledger, outcome) DO UPDATE SET records = total.records + excluded.records;"""
_DISCOUNT = """
    UPDATE total SET records = total.records - gone.records
    FROM (SELECT ledger, outcome, count(*) AS records FROM old_rows GROUP BY ledger, outcome) AS gone
    WHERE total.ledger = gone.ledger AND total.outcome = gone.outcome;"""
_OLD, _NEW = "OLD TABLE AS old_rows", "NEW TABLE AS new_rows"
_TRIGGERS = (
    ("record_came", "INSERT", _NEW, _COUNT),
    ("record_went", "DELETE", _OLD, _DISCOUNT),
    ("record_changed", "UPDATE", f"{_OLD} {_NEW}", _DISCOUNT + _COUNT),
)

_STATEMENTS = (
    f"CREATE TABLE format AS SELECT {FORMAT} AS version",
    """CREATE TABLE ledger (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, shard text NOT NULL,
        epoch bigint NOT NULL DEFAULT 0, holder text NOT NULL DEFAULT '',
        expires timestamptz NOT NULL DEFAULT '-infinity', server timestamptz,
        commits bigint NOT NULL DEFAULT 0, mark bigint NOT NULL DEFAULT 0,
        division integer NOT NULL DEFAULT 1, closed boolean NOT NULL DEFAULT false,
        UNIQUE (name, division, shard)
    )""",
    """CREATE TABLE meta (
        ledger integer REFERENCES ledger ON DELETE CASCADE, name text, value text NOT NULL, PRIMARY KEY (ledger, name)
    )""",
    # The widest column first: so a row of the largest table has no gaps.
    """CREATE TABLE record (
        ordinal bigint, hash bigint NOT NULL, ledger integer REFERENCES ledger ON DELETE CASCADE,
        outcome text NOT NULL, PRIMARY KEY (ledger, ordinal)
    )""",
    """CREATE TABLE reopened (
        ledger integer REFERENCES ledger ON DELETE CASCADE, ordinal bigint, hash bigint NOT NULL, origin text NOT NULL,
        raw bytea, stale boolean NOT NULL DEFAULT false, PRIMARY KEY (ledger, ordinal)
    )""",
    """CREATE TABLE intent (
        ledger integer REFERENCES ledger ON DELETE CASCADE, id bigint, records text NOT NULL, PRIMARY KEY (ledger, id)
    )""",
    """CREATE TABLE lines (
        ledger integer REFERENCES ledger ON DELETE CASCADE, id bigint,
        results_end bigint NOT NULL, rejects_end bigint NOT NULL,
        results_of bytea NOT NULL, rejects_of bytea NOT NULL,
        results bytea NOT NULL, rejects bytea NOT NULL, PRIMARY KEY (ledger, id)
    )""",
    # They are packed already.
    *(
        f"ALTER TABLE lines ALTER COLUMN {column} SET STORAGE EXTERNAL"
        for column in ("results_of", "rejects_of", "results", "rejects")
    ),
    """CREATE TABLE output (
        ledger integer REFERENCES ledger ON DELETE CASCADE, path text, accounted bigint NOT NULL,
        PRIMARY KEY (ledger, path)
    )""",
    """CREATE TABLE run (
        ledger integer REFERENCES ledger ON DELETE CASCADE, id bigint,
        started double precision NOT NULL, updated double precision NOT NULL, ended double precision, exit_code integer,
        again boolean NOT NULL, earlier bigint NOT NULL,
        records bigint NOT NULL DEFAULT 0, bytes bigint NOT NULL DEFAULT 0, size bigint,
        whole boolean NOT NULL DEFAULT false, account bytea, PRIMARY KEY (ledger, id)
    )""",
    """CREATE TABLE total (
        ledger integer REFERENCES ledger ON DELETE CASCADE, outcome text, records bigint NOT NULL,
        PRIMARY KEY (ledger, outcome)
    )""",
    *(
        f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = {SCHEMA}, pg_temp
            AS $$ BEGIN {change} RETURN NULL; END $$"""
        for name, _, _, change in _TRIGGERS
    ),
    *(
        f"""CREATE TRIGGER {name} AFTER {event} ON record REFERENCING {tables}
            FOR EACH STATEMENT EXECUTE FUNCTION {name}()"""
        for name, event, tables, _ in _TRIGGERS
    ),
    """CREATE FUNCTION presence(ledger integer, epoch bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
        AS $$ SELECT hashtextextended(format('veetro-batch %s %s', ledger, epoch), 0) $$""",
    f"""CREATE FUNCTION fence(which integer, held bigint, number bigint, its_mark bigint, lease double precision)
        RETURNS void LANGUAGE plpgsql SET search_path = {SCHEMA}, pg_temp AS $$
        BEGIN
            UPDATE ledger SET commits = number, mark = its_mark,
                expires = clock_timestamp() + make_interval(secs => lease)
            WHERE id = which AND epoch = held AND commits = number - 1;
            IF NOT FOUND THEN RAISE EXCEPTION 'not the next commit of this writer' USING ERRCODE = '{FENCED}'; END IF;
        END $$""",  # noqa: S608 - ours
    # All of a commit: one call, one round trip, and a transaction by itself. What it has not is NULL.
    f"""CREATE FUNCTION keep(
        which integer, held bigint, number bigint, its_mark bigint, lease double precision,
        windows json, settled json, outcomes json, closed json, accounted_for json, found_limit text,
        results_size bigint, rejects_size bigint, whose_results bytea, whose_rejects bytea,
        packed_results bytea, packed_rejects bytea,
        read_at double precision, read_records bigint, read_bytes bigint, read_size bigint, read_whole boolean,
        told bytea
    ) RETURNS void LANGUAGE plpgsql SET search_path = {SCHEMA}, pg_temp AS $$
        DECLARE last_run bigint;
        BEGIN
            PERFORM fence(which, held, number, its_mark, lease);
            IF windows IS NOT NULL THEN
                INSERT INTO intent AS i SELECT which, w.key::bigint, w.value::text FROM json_each(windows) AS w
                ON CONFLICT (ledger, id) DO UPDATE SET records = excluded.records;
            END IF;
            IF settled IS NOT NULL THEN
                DELETE FROM intent AS i WHERE i.ledger = which
                    AND i.id IN (SELECT s.value::bigint FROM json_array_elements_text(settled) AS s);
            END IF;
            IF outcomes IS NOT NULL THEN
                INSERT INTO record (ledger, outcome, ordinal, hash)
                SELECT which, o.key, r.key::bigint, r.value::bigint
                FROM json_each(outcomes) AS o, json_each_text(o.value) AS r
                ON CONFLICT (ledger, ordinal) DO UPDATE SET hash = excluded.hash, outcome = excluded.outcome;
            END IF;
            IF closed IS NOT NULL THEN
                DELETE FROM reopened AS r WHERE r.ledger = which
                    AND r.ordinal IN (SELECT c.value::bigint FROM json_array_elements_text(closed) AS c);
            END IF;
            IF packed_results IS NOT NULL THEN
                INSERT INTO lines
                SELECT which, number, results_size + coalesce(max(l.results_end), 0),
                    rejects_size + coalesce(max(l.rejects_end), 0),
                    whose_results, whose_rejects, packed_results, packed_rejects
                FROM (SELECT * FROM lines WHERE lines.ledger = which ORDER BY lines.id DESC LIMIT 1) AS l;
            END IF;
            IF accounted_for IS NOT NULL THEN
                INSERT INTO output SELECT which, a.key, a.value::bigint FROM json_each_text(accounted_for) AS a
                ON CONFLICT (ledger, path) DO UPDATE SET accounted = excluded.accounted;
            END IF;
            IF found_limit IS NOT NULL THEN
                INSERT INTO meta VALUES (which, 'limit', found_limit)
                ON CONFLICT (ledger, name) DO UPDATE SET value = excluded.value;
            END IF;
            IF read_at IS NOT NULL OR told IS NOT NULL THEN
                SELECT max(r.id) INTO last_run FROM run AS r WHERE r.ledger = which;
                UPDATE run AS r SET account = coalesce(told, r.account), updated = coalesce(read_at, r.updated),
                    records = coalesce(read_records, r.records), bytes = coalesce(read_bytes, r.bytes),
                    size = CASE WHEN read_at IS NULL THEN r.size ELSE read_size END,
                    whole = coalesce(read_whole, r.whole)
                WHERE r.ledger = which AND r.id = last_run;
            END IF;
        END $$""",  # noqa: S608 - ours
)
_MAKING = "hashtextextended('veetro-batch: making the schema', 0)"


def make(session: Session) -> None:
    """Make the tables where there are none.

    Raises:
        LedgerRefused: the schema is another program's, or of another format.
        OutputFailed: they cannot be made.
    """
    if session.do(_exists):
        return
    session.do(_make)


def check(session: Session) -> None:
    """Raise ``LedgerRefused`` where there are no ledgers of this format."""
    if not session.do(_exists):
        raise LedgerRefused(f"there is no ledger {session.name}: no run has written to this database")


def _exists(db: psycopg.Connection) -> bool:
    row = db.execute(f"SELECT to_regclass('{SCHEMA}.format'), to_regclass('{SCHEMA}.ledger')").fetchone()
    if row is None or row[0] is None:
        if row is not None and row[1] is not None:
            raise LedgerRefused(f"the schema {SCHEMA} of the database is another program's: it is no ledger")
        return False
    found = db.execute("SELECT version FROM format").fetchone()
    version = None if found is None else found[0]
    if version != FORMAT:
        raise LedgerRefused(
            f"the ledgers of the database have format {version}, and this version of the program reads {FORMAT}"
        )
    return True


def _make(db: psycopg.Connection) -> None:
    # Many shards may begin at once. Only a transaction that begins behind the lock sees what the one before has made.
    db.execute(f"SELECT pg_advisory_lock({_MAKING})")
    try:
        with db.transaction():
            _make_once(db)
    finally:
        db.execute(f"SELECT pg_advisory_unlock({_MAKING})")


def _make_once(db: psycopg.Connection) -> None:
    if _exists(db):
        return
    if db.info.parameter_status("server_encoding") != "UTF8":
        raise OutputFailed("the ledger cannot be made: the database's encoding is not UTF8, and records hold any text")
    if db.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,)).fetchone() is None:
        _make_schema(db)
    for statement in _STATEMENTS:
        db.execute(statement)


def _make_schema(db: psycopg.Connection) -> None:
    try:
        db.execute(f"CREATE SCHEMA {SCHEMA}")
    except psycopg.errors.InsufficientPrivilege as error:
        remedy = f"let its owner run: CREATE SCHEMA {SCHEMA} AUTHORIZATION {db.info.user}"
        raise OutputFailed(
            f"the ledger cannot be made: this user may make no schema in the database; {remedy}"
        ) from error
