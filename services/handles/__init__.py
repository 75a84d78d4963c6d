"""The handle store: what must survive a connection.

`policy` and `decisions` are the rules, without I/O; `store` says what is asked of a database, `sql_store` does it;
`servicer` is the gRPC face, `service` the process.
"""
