"""dxdb for Python: queries, writes and subscriptions over HBTP (programs/dxdb/hbtp.h). No packages: dx_hbtp.py,
dx_teleport.py and dx_patch.py beside this file.

    with Database("127.0.0.1", 7010) as db:      # ca="ca.pem": TLS; token=b"...": where tokens are needed
        db.get("user", 7)                        # [{"id": 7, "name": "Ann"}]
        position, counts = db.write("rename", 7, "Bea")
        db.get("user", 7, position=position)     # what contains the write
        for rows in db.follow("user", 7): ...    # now, and each time they change

A value is sent as text; None is NULL. HbtpError: dxdb has refused it, with a status of HTTP and a reason."""
import datetime, decimal, json, struct, threading, uuid

from dx_hbtp import Client, HbtpError
from dx_patch import PatchError, apply
from dx_teleport import Bad, open_record

DESCRIBE, FOLLOW, OK, AWAY = 0, 255, 200, 503
EPOCH = datetime.datetime(1970, 1, 1)
UTC_EPOCH = EPOCH.replace(tzinfo=datetime.timezone.utc)
ENDS = {(1 << bits) - 1: "infinity" for bits in (31, 63)} | {-(1 << bits): "-infinity" for bits in (31, 63)}


def text_of(value):
    if isinstance(value, (bytes, bytearray)):
        return "\\x" + value.hex()
    return str(value)


def arguments(values):
    texts = [None if value is None else text_of(value).encode() for value in values]
    return b"".join(struct.pack("<I", 0xffffffff) if text is None else struct.pack("<I", len(text)) + text
                    for text in texts)


def microseconds(value):
    return datetime.timedelta(microseconds=value)


CONVERTED = {
    "date": lambda v: ENDS.get(v) or (EPOCH + datetime.timedelta(days=v)).date(),
    "time without time zone": lambda v: (EPOCH + microseconds(v % 86400000000)).time(),
    "timestamp without time zone": lambda v: ENDS.get(v) or EPOCH + microseconds(v),
    "timestamp with time zone": lambda v: ENDS.get(v) or UTC_EPOCH + microseconds(v),
    "uuid": lambda v: uuid.UUID(bytes=bytes(v)),
    "bytea": bytes,
    "numeric": decimal.Decimal,
    "json": json.loads,
    "jsonb": json.loads,
}


def value_of(record, name, type_):
    """The value of a column, or of an element of an array."""
    value = record[name]
    if value is None or record.get(name + "_null"):
        return None
    if type_.endswith("[]"):
        return [value_of(element, "value", type_[:-2]) for element in value]
    try:
        return CONVERTED[type_](value) if type_ in CONVERTED else value
    except OverflowError:
        return value                             # a time that Python has none for


def rows_of(about, record):
    columns = [(column["name"], column["type"]) for column in about["columns"]]
    return [{name: value_of(row, name, type_) for name, type_ in columns}
            for row in open_record(about["type"], record)["rows"]]


class Following:
    """The newest record of a followed result, made of the changes that come."""

    def __init__(self):
        self.changed = threading.Condition()
        self.record, self.given, self.error = None, None, None

    def take(self, whole, data):
        """Called where input is read."""
        _, status, _, size = struct.unpack_from("<QHHI", data)
        body = data[16:]
        with self.changed:
            try:
                if status not in (OK, AWAY):
                    raise HbtpError(status, body.decode())
                self.record = body if whole else apply(self.record, body) if body else self.record
                if len(self.record) != size:
                    raise HbtpError(400, "a record of another size")
            except (HbtpError, PatchError) as error:
                self.error = error
            self.changed.notify_all()

    def next(self, client):
        """The next record: what changed meanwhile is in it."""
        with self.changed:
            while self.record is self.given and not self.error:
                if client.closed:
                    raise client.error
                self.changed.wait(0.5)
            if self.error:
                raise self.error
            self.given = self.record
            return self.given


class Database:
    """A connection to dxdb. The options are those of dx_hbtp.Client."""

    def __init__(self, host, port, payload_max=1 << 24, **options):
        self.client = Client(host, port, payload_max=payload_max, **options)
        self.known = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.client.close()

    def describe(self, name):
        """What dxdb says of a query or write: its method, parameters, columns and the type of its records."""
        if name not in self.known:
            self.known[name] = json.loads(self.client.call(DESCRIBE, name.encode()))
        return self.known[name]

    def get(self, query, *values, position=None, timeout=30.0):
        """The rows, as dicts."""
        at = b"" if position is None else struct.pack("<Q", position)
        method = self.describe(query)["method"]
        record = self.client.call(method, arguments(values) + at, timeout)
        try:
            return rows_of(self.describe(query), record)
        except Bad:                              # the columns have changed meanwhile
            del self.known[query]
            return rows_of(self.describe(query), record)

    def write(self, name, *values, timeout=30.0):
        """The position of the log after it, and the number of rows of each statement."""
        answer = self.client.call(self.describe(name)["method"], arguments(values), timeout)
        position, *counts = struct.unpack("<%dQ" % (len(answer) // 8), answer)
        return position, counts

    def follow(self, query, *values, timeout=30.0):
        """The rows now, and each time they change, until dxdb says why there are no more: HbtpError.
        Who is slow gets the newest ones. On a connection, follow the same result once at a time."""
        self.known.pop(query, None)
        about = self.describe(query)
        answer = self.client.call(FOLLOW, bytes([about["method"], 0]) + arguments(values), timeout)
        number, following = struct.unpack_from("<I", answer)[0], Following()
        self.client.subscribe(number, following.take, timeout)
        try:
            while True:
                yield rows_of(about, following.next(self.client))
        finally:
            try:
                self.client.unsubscribe(number, timeout)
            except HbtpError:                    # it has ended already
                pass
