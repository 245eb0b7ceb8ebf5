#!/usr/bin/env python3
"""PostgreSQL as its own user, with pgbench and psql as another; the configuration's allow-list lets them meet."""

import contextlib
import pathlib
import re
import signal
import subprocess

from harness import SILENCE_S, Failure, Workload, as_user, free_port, main, random_bytes, sha256

PROGRAMS = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=pathlib.Path("/usr/bin"))
USER = "postgres"
CONFIG = pathlib.Path(__file__).with_name("postgresql.yaml")


@contextlib.contextmanager
def postgresql(run):
    """Answers the arguments by which clients find the server and its database."""
    port = free_port()
    data = run.folder / "data"
    data.mkdir(0o700)
    subprocess.run(["chown", USER, data], check=True)
    subprocess.run([*as_user(USER), PROGRAMS / "initdb", "--auth", "trust", "--no-sync", "--encoding", "UTF8",
                    "--no-locale", data], check=True, stdout=subprocess.DEVNULL, cwd=run.folder)
    with run.server([PROGRAMS / "postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", data, "-c", "fsync=off"],
                    port, ready="ready to accept connections", stop=signal.SIGINT, user=USER):
        yield ["-h", "127.0.0.1", "-p", port, "-U", USER]


def transactions(run):
    with postgresql(run) as where:
        run.client([PROGRAMS / "pgbench", *where, "--initialize", "--quiet", "postgres"])
        out = run.client([PROGRAMS / "pgbench", *where, "-c", "8", "-j", "2", "-t", "8000", "postgres"]).decode()
        totals = run.client([PROGRAMS / "psql", *where, "--no-psqlrc", "--tuples-only", "--command",
                             "SELECT count(*) FROM pgbench_history; SELECT sum(abalance) - sum(delta) FROM "
                             "(SELECT sum(abalance) AS abalance FROM pgbench_accounts) AS a, "
                             "(SELECT sum(delta) AS delta FROM pgbench_history) AS h;", "postgres"]).decode()
    if re.search(r"actually processed: 64000/64000", out) is None:
        raise Failure(f"pgbench says {out}")
    return {"history and balance": totals.split()}


def queries(run):
    """One session: a thousand small queries, by when its connection has moved, then the table in and out as a whole."""
    rows = "".join(f"{number}\t{random_bytes(number % 700, number).hex()}\n" for number in range(20_000))
    copy_in = "CREATE TABLE data (number int PRIMARY KEY, bytes text);\nCOPY data FROM STDIN;\n" + rows + "\\.\n"
    with postgresql(run) as where:
        psql = [PROGRAMS / "psql", *where, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
                "--set", "ON_ERROR_STOP=1", "postgres"]
        out = run.client(psql, input="".join([
            "".join(f"SELECT {number};\n" for number in range(1000)), copy_in,
            f"DO $$ BEGIN PERFORM pg_sleep({SILENCE_S}); END $$;\n",
            "COPY (SELECT * FROM data ORDER BY number) TO STDOUT;\n",
            "SELECT md5(string_agg(bytes, ',' ORDER BY number)), sum(length(bytes)) FROM data;\n",
            "".join(f"SELECT bytes FROM data WHERE number = {number};\n" for number in range(3000))]).encode()).decode()
    expected = "".join(f"{number}\n" for number in range(1000)) + rows
    if not out.startswith(expected):
        raise Failure("the table came back changed")
    return {"selected": out[len(expected):].splitlines()[0], "all": sha256(out.encode())}


if __name__ == "__main__":
    # pgbench asks for the scale over a connection of its own, and psql asks for the totals.
    main(Workload("postgresql-pgbench", transactions, 10 << 20, CONFIG, small=2),
         Workload("postgresql-queries", queries, 25 << 20, CONFIG))
