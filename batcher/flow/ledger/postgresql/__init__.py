"""A ledger in a PostgreSQL database, which many runs and shards share; psycopg is imported here and nowhere else.

schema      the tables, and the functions that keep two writers apart
troubles    what PostgreSQL's complaints mean to people, and which of them pass
session     a connection that comes back when the database does
finding     which ledgers an address means
dividing    which division into shards a run has, and how it gets another one
earlier     what the ledgers of earlier divisions still have
moving      records out of them, within a commit
standing    who writes one now
lease       one writer at a time: its epoch, and until when nobody else may begin
statements  a commit as what the database takes
store       commits go in, and are read again
reading     one that is opened to be read, or all of a run as of one instant
"""
