"""Every query of the store, named, with its effect above it. Text that PostgreSQL takes too, save the tables' types."""

from __future__ import annotations

SCHEMA_VERSION = 2

SCHEMA = """
create table schema_version (version integer not null);

-- Records, kept in key order.
create table record (
    collection text not null,
    key text not null,
    value blob not null,
    revision integer not null,
    primary key (collection, key)
) without rowid;

-- Messages. Their bodies stand apart, so that a lease does not rewrite them.
create table message (
    id integer primary key,
    queue text not null,
    message_id text not null,
    visible_at double precision not null,
    sent_at double precision not null,
    receive_count integer not null,
    lease text,
    note blob
);
create unique index message_by_id on message (queue, message_id);
create index message_by_time on message (queue, visible_at, id);
-- Leases alone, to end them at the next start without looking at every message.
create index message_leased on message (id) where lease is not null;
create table message_body (id integer primary key, body blob not null);
"""

# -- read_schema_version: the version of the tables in an existing file.
READ_SCHEMA_VERSION = "select version from schema_version"

# -- write_schema_version: says once which version the tables have.
WRITE_SCHEMA_VERSION = "insert into schema_version (version) values (?)"

# -- set_schema_version: says that the tables have been brought to a newer version.
SET_SCHEMA_VERSION = "update schema_version set version = ?"

#: What brings the tables of a version to those of the next one.
UPGRADES = {1: "alter table message add column note blob"}

# -- get_record: one record by its key.
GET_RECORD = "select key, value, revision from record where collection = ? and key = ?"

# -- list_records: records after a key and before another, in key order, some at a time.
LIST_RECORDS = "select key, value, revision from record where collection = ? and key > ? and key < ? order by key limit ?"

# -- list_records_from: as list_records, with the first key included.
LIST_RECORDS_FROM = "select key, value, revision from record where collection = ? and key >= ? and key < ? order by key limit ?"

# -- list_records_descending: records from a key on and before another, last first, some at a time.
LIST_RECORDS_DESCENDING = (
    "select key, value, revision from record where collection = ? and key >= ? and key < ? order by key desc limit ?"
)

# -- put_record: writes a record, whatever stood there.
PUT_RECORD = (
    "insert into record (collection, key, value, revision) values (?, ?, ?, 1) "
    "on conflict (collection, key) do update set value = excluded.value, revision = record.revision + 1"
)

# -- put_absent_record: writes a record where there is none; answers a row if it did.
PUT_ABSENT_RECORD = (
    "insert into record (collection, key, value, revision) values (?, ?, ?, 1) on conflict do nothing returning revision"
)

# -- put_record_at: writes a record that stands at a revision; answers a row if it did.
PUT_RECORD_AT = (
    "update record set value = ?, revision = revision + 1 where collection = ? and key = ? and revision = ? returning revision"
)

# -- delete_record: removes a record if it is there.
DELETE_RECORD = "delete from record where collection = ? and key = ?"

# -- delete_record_at: removes a record that stands at a revision; answers a row if it did.
DELETE_RECORD_AT = "delete from record where collection = ? and key = ? and revision = ? returning revision"

# -- send_message: puts a message on a queue unless the queue holds its id; answers its number if it did.
SEND_MESSAGE = (
    "insert into message (queue, message_id, visible_at, sent_at, receive_count) values (?, ?, ?, ?, 0) "
    "on conflict do nothing returning id"
)

# -- send_body: keeps the body of the message just sent.
SEND_BODY = "insert into message_body (id, body) values (?, ?)"

# -- visible_messages: the messages of a queue that have been visible longest, first first, some at a time.
VISIBLE_MESSAGES = (
    "select message.id, message_id, body, receive_count, sent_at, note from message "
    "join message_body on message_body.id = message.id "
    "where queue = ? and visible_at <= ? order by visible_at, message.id limit ?"
)

# -- lease_message: makes a message invisible until the lease ends, and counts the receipt.
LEASE_MESSAGE = "update message set visible_at = ?, receive_count = receive_count + 1, lease = ? where id = ?"

# -- delete_message: ends a message whose lease still runs; answers a row if it did.
DELETE_MESSAGE = "delete from message where id = ? and queue = ? and lease = ? and visible_at > ? returning id"

# -- delete_body: removes the body of a message just ended.
DELETE_BODY = "delete from message_body where id = ?"

# -- release_message: gives up a running lease, sets when the message is seen again, and writes its note if there is a new one;
# -- answers a row if it did.
RELEASE_MESSAGE = (
    "update message set note = coalesce(?, note), visible_at = ?, lease = null "
    "where id = ? and queue = ? and lease = ? and visible_at > ? returning id"
)

# -- bring_forward: makes messages of a queue that nobody holds visible at a time, unless they are before; so many at most, and
# -- answers a row for each.
BRING_FORWARD = (
    "update message set visible_at = ? where id in "
    "(select id from message where queue = ? and visible_at > ? and lease is null order by visible_at limit ?) returning id"
)

# -- extend_lease: moves the end of a running lease; answers a row if it did.
EXTEND_LEASE = "update message set visible_at = ? where id = ? and queue = ? and lease = ? and visible_at > ? returning id"

# -- end_all_leases: makes every leased message visible. At the start only: those who held them are gone with their process.
END_ALL_LEASES = "update message set visible_at = 0, lease = null where id in (select id from message where lease is not null)"

# -- count_messages: how many messages a queue holds, visible or not.
COUNT_MESSAGES = "select count(*) from message where queue = ?"

# -- next_visible: when the next message of a queue becomes visible, if there is any.
NEXT_VISIBLE = "select visible_at from message where queue = ? order by visible_at, id limit 1"
