"""A ledger in a PostgreSQL database, which many runs and shards share; psycopg is imported here and nowhere else.

schema      the tables, and the functions that keep two writers apart
troubles    what PostgreSQL's complaints mean to people, and which of them pass
session     a connection that comes back when the database does
finding     which ledgers an address means
standing    who writes one now
lease       one writer at a time: its epoch, and until when nobody else may begin
statements  a commit as what the database takes
store       commits go in, and are read again
"""
