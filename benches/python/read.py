"""Reads the Interface table as programs in Python do: with PyPI's `ovs`, and with `ovsdbapp` on top of it.

Each line on standard input asks for one measurement, `LIBRARY WHAT [NAME]`; the answer is a line with the seconds it
took and the number of rows. The interpreter and its modules are there before the clock starts.
"""

import gc
import sys
import time

import ovs._json  # noqa: F401  Without the C extension this is not the yardstick that is meant.
import ovs.db.idl
import ovs.json
import ovs.poller
from ovsdbapp.backend.ovs_idl import connection, idlutils
from ovsdbapp.schema.open_vswitch import impl_idl

assert ovs.json.PARSER == ovs.json.PARSER_C

REMOTE, SCHEMA, COLUMNS = sys.argv[1], sys.argv[2], sys.argv[3].split(",")


def idl():
    """A replica by `ovs`, once it is complete."""
    helper = ovs.db.idl.SchemaHelper(SCHEMA)
    helper.register_columns("Interface", COLUMNS)
    replica = ovs.db.idl.Idl(REMOTE, helper)
    seqno = replica.change_seqno
    while True:
        replica.run()
        if replica.change_seqno != seqno:
            return replica, replica.close
        poller = ovs.poller.Poller()
        replica.wait(poller)
        poller.block()


def app():
    """A replica by `ovsdbapp`, once it is complete."""
    helper = idlutils.get_schema_helper(REMOTE, "Open_vSwitch")
    helper.register_columns("Interface", COLUMNS)
    link = connection.Connection(connection.OvsdbIdl(REMOTE, helper), timeout=300)
    api = impl_idl.OvsdbIdl(link)
    return api, lambda: link.stop(timeout=60)


def lookup(replica, name):
    if isinstance(replica, impl_idl.OvsdbIdl):
        return replica.lookup("Interface", name)
    return next(row for row in replica.tables["Interface"].rows.values() if row.name == name)


def measure(library, what, name=None):
    start = time.perf_counter()
    replica, close = {"ovs": idl, "ovsdbapp": app}[library]()
    if what == "lookup":
        assert lookup(replica, name).name == name
    taken = time.perf_counter() - start
    rows = len(replica.tables["Interface"].rows)
    close()
    return taken, rows


for line in sys.stdin:
    print(*measure(*line.split()), flush=True)
    # Not in the time of the next one.
    gc.collect()
